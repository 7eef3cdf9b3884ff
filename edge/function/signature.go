package function

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/dop251/goja"
)

// signers are the names of what signing adds to crypto.
var signers = []string{
	"createVerify", "createSign", "verify", "sign", "createPublicKey", "createPrivateKey", "createSecretKey", "KeyObject",
}

// signing adds what of Node's crypto signs and verifies, with RSA (PKCS #1 v1.5 and
// PSS), ECDSA on P-256 to P-521 and Ed25519: what looks at tokens or makes signed
// URLs needs no more.
func (v *vm) signing(o *goja.Object) {
	o.Set("createPublicKey", func(c goja.FunctionCall) goja.Value { return v.keyObject(v.publicKey(c.Argument(0))) })
	o.Set("createPrivateKey", func(c goja.FunctionCall) goja.Value { return v.keyObject(v.privateKey(c.Argument(0))) })
	o.Set("createSecretKey", func(c goja.FunctionCall) goja.Value {
		return v.keyObject(append([]byte{}, v.encoded(c.Argument(0), c.Argument(1))...))
	})
	o.Set("KeyObject", v.keyObjects())
	o.Set("createVerify", func(c goja.FunctionCall) goja.Value { return v.signer(c.Argument(0), false) })
	o.Set("createSign", func(c goja.FunctionCall) goja.Value { return v.signer(c.Argument(0), true) })
	o.Set("verify", func(c goja.FunctionCall) goja.Value {
		return v.rt.ToValue(v.verified(c.Argument(0), v.data(c.Argument(1)), c.Argument(2), v.data(c.Argument(3))))
	})
	o.Set("sign", func(c goja.FunctionCall) goja.Value {
		return v.newBuffer(v.signed(c.Argument(0), v.data(c.Argument(1)), c.Argument(2)))
	})
	constants := v.rt.NewObject()
	for name, value := range map[string]int{"RSA_PKCS1_PADDING": 1, "RSA_PKCS1_PSS_PADDING": pss, "RSA_PSS_SALTLEN_DIGEST": -1, "RSA_PSS_SALTLEN_AUTO": -2} {
		constants.Set(name, value)
	}
	o.Set("constants", constants)
}

// pss is Node's number of that padding.
const pss = 6

// encoded returns bytes, or those of a text in an encoding.
func (v *vm) encoded(x, enc goja.Value) []byte {
	if isText(x) {
		return v.bytesOf(x.String(), v.encoding(enc))
	}
	return v.data(x)
}

// signer is a Sign or Verify of Node's: what is to be signed is held until then.
func (v *vm) signer(alg goja.Value, signs bool) goja.Value {
	v.digestOf(alg)
	o, data := v.rt.NewObject(), []byte{}
	update := func(c goja.FunctionCall) goja.Value {
		more := v.encoded(c.Argument(0), c.Argument(1))
		v.charge(int64(len(more)), "sign")
		data = append(data, more...)
		return o
	}
	o.Set("update", update)
	o.Set("write", update)
	o.Set("end", func(c goja.FunctionCall) goja.Value {
		if !goja.IsUndefined(c.Argument(0)) {
			update(c)
		}
		return o
	})
	if !signs {
		o.Set("verify", func(c goja.FunctionCall) goja.Value {
			return v.rt.ToValue(v.verified(alg, data, c.Argument(0), v.encoded(c.Argument(1), c.Argument(2))))
		})
		return o
	}
	o.Set("sign", func(c goja.FunctionCall) goja.Value {
		sig := v.signed(alg, data, c.Argument(0))
		if enc := c.Argument(1); !goja.IsUndefined(enc) && enc.String() != "buffer" {
			return v.rt.ToValue(v.text(sig, v.encoding(enc)))
		}
		return v.newBuffer(sig)
	})
	return o
}

// digests are the hashes of signatures.
var digests = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// digestOf reads the name of an algorithm, such as RSA-SHA256; 0 stands for the
// key's own.
func (v *vm) digestOf(x goja.Value) crypto.Hash {
	if goja.IsUndefined(x) || goja.IsNull(x) {
		return 0
	}
	name := strings.TrimPrefix(strings.ToLower(x.String()), "rsa-")
	h, ok := digests[strings.Replace(name, "sha-", "sha", 1)]
	if !ok {
		v.throw("Invalid digest: %s; there are sha1, sha256, sha384 and sha512", oneLine(x.String()))
	}
	return h
}

// A form is how a signature is made, as beside a key.
type form struct {
	padding, salt int64
	plain         bool // r and s of ECDSA one behind the other (IEEE P1363), not in DER
}

func formOf(x goja.Value) form {
	f := form{salt: -2}
	o, ok := x.(*goja.Object)
	if !ok {
		return f
	}
	if given(o, "padding") {
		f.padding = o.Get("padding").ToInteger()
	}
	if given(o, "saltLength") {
		f.salt = o.Get("saltLength").ToInteger()
	}
	f.plain = given(o, "dsaEncoding") && o.Get("dsaEncoding").String() == "ieee-p1363"
	return f
}

// pssOptions returns Go's options: of Node's numbers -1 is the digest's length, and
// -2 the longest when signing and any when verifying.
func (f form) pssOptions(h crypto.Hash) *rsa.PSSOptions {
	o := &rsa.PSSOptions{SaltLength: int(f.salt), Hash: h}
	switch f.salt {
	case -1:
		o.SaltLength = rsa.PSSSaltLengthEqualsHash
	case -2:
		o.SaltLength = rsa.PSSSaltLengthAuto
	}
	return o
}

func sumOf(h crypto.Hash, data []byte) []byte {
	s := h.New()
	s.Write(data)
	return s.Sum(nil)
}

func (v *vm) verified(alg goja.Value, data []byte, key goja.Value, sig []byte) bool {
	h, f := v.digestOf(alg), formOf(key)
	pub := v.publicKey(key)
	if p, ok := pub.(ed25519.PublicKey); ok {
		return ed25519.Verify(p, data, sig)
	}
	if h == 0 {
		h = crypto.SHA256
	}
	sum := sumOf(h, data)
	switch p := pub.(type) {
	case *rsa.PublicKey:
		if f.padding == pss {
			return rsa.VerifyPSS(p, h, sum, sig, f.pssOptions(h)) == nil
		}
		return rsa.VerifyPKCS1v15(p, h, sum, sig) == nil
	case *ecdsa.PublicKey:
		if f.plain {
			var err error
			if sig, err = inDER(sig, p); err != nil {
				return false
			}
		}
		return ecdsa.VerifyASN1(p, sum, sig)
	}
	return false
}

func (v *vm) signed(alg goja.Value, data []byte, key goja.Value) []byte {
	h, f := v.digestOf(alg), formOf(key)
	signer := v.privateKey(key)
	if p, ok := signer.(ed25519.PrivateKey); ok {
		return ed25519.Sign(p, data)
	}
	if h == 0 {
		h = crypto.SHA256
	}
	opts := crypto.SignerOpts(h)
	if _, ok := signer.(*rsa.PrivateKey); ok && f.padding == pss {
		opts = f.pssOptions(h)
	}
	sig, err := signer.Sign(rand.Reader, sumOf(h, data), opts)
	if p, ok := signer.(*ecdsa.PrivateKey); ok && err == nil && f.plain {
		sig, err = fromDER(sig, &p.PublicKey)
	}
	if err != nil {
		v.throw("sign: %v", err)
	}
	return sig
}

// width is the length of a number of a curve, in bytes.
func width(p *ecdsa.PublicKey) int { return (p.Curve.Params().BitSize + 7) / 8 }

type pair struct{ R, S *big.Int }

func inDER(sig []byte, p *ecdsa.PublicKey) ([]byte, error) {
	n := width(p)
	if len(sig) != 2*n {
		return nil, errors.New("the signature has another length")
	}
	return asn1.Marshal(pair{new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])})
}

func fromDER(sig []byte, p *ecdsa.PublicKey) ([]byte, error) {
	var two pair
	if rest, err := asn1.Unmarshal(sig, &two); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("a signature that is not in DER: %w", err)
	}
	n := width(p)
	return append(two.R.FillBytes(make([]byte, n)), two.S.FillBytes(make([]byte, n))...), nil
}
