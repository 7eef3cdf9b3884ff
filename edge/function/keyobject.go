package function

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/dop251/goja"

	"meridian/identity"
)

// maxKeyBits bounds RSA keys: what one takes no interrupt ends.
const maxKeyBits = 4096

// keyObjects returns the class KeyObject, which only crypto makes objects of.
func (v *vm) keyObjects() *goja.Object {
	if v.keyClass == nil {
		v.keyClass = v.rt.ToValue(func(goja.ConstructorCall) *goja.Object {
			v.fail("Illegal constructor")
			return nil
		}).ToObject(v.rt)
	}
	return v.keyClass
}

// keyObject shows a key: octets, a public key, or a private one.
func (v *vm) keyObject(k any) goja.Value {
	o := v.rt.NewObject()
	o.SetPrototype(v.keyObjects().Get("prototype").ToObject(v.rt))
	switch k := k.(type) {
	case []byte:
		o.Set("type", "secret")
		o.Set("symmetricKeySize", len(k))
		o.Set("export", func() goja.Value { return v.newBuffer(append([]byte{}, k...)) })
	case crypto.Signer:
		v.shape(o, "private", k.Public())
	default:
		v.shape(o, "public", k)
		o.Set("export", func(c goja.FunctionCall) goja.Value { return v.exported(k, c.Argument(0)) })
	}
	if v.keys == nil {
		v.keys = map[*goja.Object]any{}
	}
	v.keys[o] = k
	return o
}

// shape says what kind of key there is.
func (v *vm) shape(o *goja.Object, side string, pub any) {
	o.Set("type", side)
	details := v.rt.NewObject()
	switch p := pub.(type) {
	case *rsa.PublicKey:
		o.Set("asymmetricKeyType", "rsa")
		details.Set("modulusLength", p.N.BitLen())
	case *ecdsa.PublicKey:
		o.Set("asymmetricKeyType", "ec")
		name := map[string]string{"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}[p.Curve.Params().Name]
		details.Set("namedCurve", name)
	case ed25519.PublicKey:
		o.Set("asymmetricKeyType", "ed25519")
	}
	o.Set("asymmetricKeyDetails", details)
}

// exported writes a public key as SubjectPublicKeyInfo, in PEM or in DER.
func (v *vm) exported(k any, options goja.Value) goja.Value {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		v.throw("export: %v", err)
	}
	format, kind := "pem", "spki"
	if o, ok := options.(*goja.Object); ok {
		format, kind = option(o.Get("format"), "pem"), option(o.Get("type"), "spki")
	}
	switch {
	case kind != "spki":
		v.fail("export: type %q; there is spki", oneLine(kind))
	case format == "der":
		return v.newBuffer(der)
	case format != "pem":
		v.fail("export: format %q; there are pem and der", oneLine(format))
	}
	return v.rt.ToValue(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

// publicKey reads a public key, of a private one or a certificate too.
func (v *vm) publicKey(x goja.Value) any {
	k, err := v.keyFrom(x)
	if s, ok := k.(crypto.Signer); ok {
		k = s.Public()
	}
	if _, octets := k.([]byte); err == nil && octets {
		err = errors.New("a secret where a public key is needed")
	}
	if err != nil {
		v.throw("the public key: %v", err)
	}
	return k
}

func (v *vm) privateKey(x goja.Value) crypto.Signer {
	k, err := v.keyFrom(x)
	s, ok := k.(crypto.Signer)
	if err == nil && !ok {
		err = errors.New("it is not a private key")
	}
	if err != nil {
		v.throw("the private key: %v", err)
	}
	return s
}

// keyFrom reads a key: a KeyObject, PEM, or an object that has one in a format.
func (v *vm) keyFrom(x goja.Value) (any, error) {
	o, ok := x.(*goja.Object)
	if k, known := v.keys[o]; known {
		return k, nil
	}
	if !ok || !given(o, "key") {
		return usable(fromPEM(v.data(x)))
	}
	switch option(o.Get("format"), "pem") {
	case "jwk":
		text, err := v.stringify(o.Get("key"))
		if err != nil {
			return nil, err
		}
		return usable(identity.PublicJWK([]byte(text.String())))
	case "der":
		return usable(fromDERKey(v.data(o.Get("key"))))
	}
	return v.keyFrom(o.Get("key"))
}

func fromPEM(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not in PEM")
	}
	if block.Type == "CERTIFICATE" {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	return fromDERKey(block.Bytes)
}

// fromDERKey reads a key in whichever of its forms it has.
func fromDERKey(der []byte) (any, error) {
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKIXPublicKey, x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PublicKey(b) },
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		if k, err := parse(der); err == nil {
			return k, nil
		}
	}
	return nil, errors.New("it is no key that is known here")
}

// usable refuses keys of other kinds, and those that take too long.
func usable(k any, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	pub := k
	if s, ok := k.(crypto.Signer); ok {
		pub = s.Public()
	}
	switch p := pub.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n > maxKeyBits {
			return nil, fmt.Errorf("an RSA key of %d bits; at most %d", n, maxKeyBits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey, []byte:
	default:
		return nil, fmt.Errorf("a key of another kind (%T)", p)
	}
	return k, nil
}
