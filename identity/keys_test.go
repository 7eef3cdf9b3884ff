package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// jwkOf writes the public half of an algorithm's key as a JWK.
func jwkOf(alg, kid string) map[string]any {
	b := base64.RawURLEncoding.EncodeToString
	m := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch k := signers[alg].(type) {
	case *rsa.PrivateKey:
		m["kty"], m["n"], m["e"] = "RSA", b(k.N.Bytes()), b(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PrivateKey:
		raw := must(k.PublicKey.Bytes())
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b(raw[1:33]), b(raw[33:])
	case []byte:
		m["kty"], m["k"] = "oct", b(k)
	case ed25519.PrivateKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b(k.Public().(ed25519.PublicKey))
	}
	return m
}

func jwks(keys ...map[string]any) []byte { return must(json.Marshal(map[string]any{"keys": keys})) }

func TestEachFormOfKeyFileIsRead(t *testing.T) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	rsaKey := signers[RS256].(*rsa.PrivateKey)
	cert := must(x509.CreateCertificate(rand.Reader, template, template, rsaKey.Public(), rsaKey))
	for name, tt := range map[string]struct {
		file []byte
		algs string
	}{
		"PEM, several":      {append(file(RS256), file(ES256)...), "RS256 ES256"},
		"PEM, PKCS 1":       {pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)}), "RS256"},
		"PEM, certificate":  {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), "RS256"},
		"JWK set":           {jwks(jwkOf(RS256, "a"), jwkOf(ES256, "b"), jwkOf(EdDSA, "c"), jwkOf(HS256, "d")), "RS256 ES256 EdDSA HS256"},
		"one JWK":           {must(json.Marshal(jwkOf(EdDSA, "c"))), "EdDSA"},
		"secret":            {[]byte("thirty-two bytes of a raw secret\r\n"), "HS256"},
		"JWK set, others":   {jwks(map[string]any{"kty": "RSA", "use": "enc"}, map[string]any{"kty": "EC", "crv": "P-521"}, jwkOf(ES256, "b")), "ES256"},
		"PEM, with a title": {append([]byte("issuer's key, 2026\n"), file(EdDSA)...), "EdDSA"},
	} {
		keys, err := ParseKeys(tt.file)
		var algs []string
		for _, k := range keys {
			algs = append(algs, k.Algorithm())
		}
		if got := strings.Join(algs, " "); err != nil || got != tt.algs {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tt.algs)
		}
	}
}

// TestAKeyFileThatWouldLetStrangersSignIsRefused: what is not understood must
// not become an HMAC secret that everybody knows.
func TestAKeyFileThatWouldLetStrangersSignIsRefused(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	small := jwkOf(RS256, "")
	small["n"] = base64.RawURLEncoding.EncodeToString(make([]byte, 128))
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":           {[]byte(" \n"), "the key file is empty"},
		"short secret":      {[]byte("hunter2"), "a secret of 7 bytes: want at least 32 for HS256"},
		"private key":       {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ec))}), "PEM block 1 (PRIVATE KEY): want PUBLIC KEY"},
		"another curve":     {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(ec.Public()))}), "PEM block 1 (PUBLIC KEY): a key on the curve P-384: want P-256"},
		"torn PEM":          {file(RS256)[:80], "holds no whole PEM block"},
		"public key as DER": {must(x509.MarshalPKIXPublicKey(ec.Public())), "neither PEM nor JWK"},
		"OpenSSH":           {[]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me@example.test"), "neither PEM nor JWK"},
		"torn JSON":         {[]byte(`{"keys": [`), "JWK set: unexpected end"},
		"no keys":           {[]byte(`{"keys": []}`), "JWK set without a key that can verify: it is empty"},
		"weak RSA":          {jwks(small), "an RSA key of 0 bits"},
		"alg against type":  {jwks(func() map[string]any { k := jwkOf(RS256, ""); k["alg"] = "HS256"; return k }()), `its alg is "HS256": want "RS256"`},
		"off the curve":     {jwks(func() map[string]any { k := jwkOf(ES256, ""); k["y"] = k["x"]; return k }()), "key 1"},
	} {
		if keys, err := ParseKeys(tt.file); keys != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", name, keys, err, tt.want)
		}
	}
}

func TestATokenChoosesItsKeyByID(t *testing.T) {
	k := jwkOf(RS256, "mine")
	v := verifier(t, must(ParseKeys(jwks(jwkOf(ES256, "other"), k)))...)
	if _, err := v.Verify(bearer(sign(RS256, map[string]any{"kid": "mine"}, good(nil)))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(bearer(sign(RS256, nil, good(nil)))); err != nil {
		t.Errorf("without a kid: %v", err)
	}
	if _, err := v.Verify(bearer(sign(RS256, map[string]any{"kid": "gone"}, good(nil)))); Description(err) != "no key of the issuer fits the token" {
		t.Errorf("an unknown kid: %v", err)
	}
}

// FuzzParseKeys checks that no key file panics, and that what comes out can be
// used.
func FuzzParseKeys(f *testing.F) {
	for alg := range signers {
		f.Add(file(alg))
		f.Add(jwks(jwkOf(alg, "k")))
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if (err == nil) == (len(keys) == 0) {
			t.Errorf("%d keys, error %v", len(keys), err)
		}
		if err == nil {
			v := must(NewVerifier(Config{JWTs: []JWT{{Issuer: theIssuer, Keys: keys}}}))
			_, _ = v.Verify(bearer(sign(keys[0].Algorithm(), nil, good(nil))))
		}
	})
}
