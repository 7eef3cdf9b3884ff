package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// The algorithms of RFC 7518 and RFC 8037 that Meridian verifies. There is no
// "none", and there cannot be: each belongs to a type of key.
const (
	RS256 = "RS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
	HS256 = "HS256"
)

// The smallest keys that are accepted: RFC 7518, sections 3.2 and 3.3.
const (
	minSecretBytes = 32
	minRSABits     = 2048
)

// A Key verifies the signatures of one algorithm, which its type decides
// (RFC 8725, section 3.1): no header of a token can make an RSA key serve as
// an HMAC secret.
type Key struct {
	ID  string // "kid", or "" if the file names none
	alg string
	key any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte
}

// Algorithm returns the one algorithm that k verifies.
func (k Key) Algorithm() string { return k.alg }

// ParseKeys reads the keys of a file: a JWK Set or a JWK (RFC 7517), PEM blocks
// with public keys or certificates, or else the bytes of a secret for HS256,
// of which one line break at the end is not a part.
//
// A private key is an error, and so is a public key in a form that it does not
// know: taken for a secret, it would let everybody sign who may read it.
func ParseKeys(file []byte) ([]Key, error) {
	text := bytes.TrimSpace(file)
	switch {
	case len(text) == 0:
		return nil, errors.New("the key file is empty")
	case text[0] == '{':
		return parseJWKS(text)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return parsePEM(text)
	case looksPublic(file):
		return nil, errors.New("found a public key that is neither PEM nor JWK: convert it to PEM, for example with openssl pkey -pubin")
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(file, []byte("\n")), []byte("\r"))
	k, err := newKey("", bytes.Clone(secret))
	if err != nil {
		return nil, err
	}
	return []Key{k}, nil
}

// looksPublic reports whether file holds a public key or certificate as DER,
// or as OpenSSH writes it.
func looksPublic(file []byte) bool {
	if _, err := x509.ParsePKIXPublicKey(file); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PublicKey(file); err == nil {
		return true
	}
	if _, err := x509.ParseCertificate(file); err == nil {
		return true
	}
	return bytes.HasPrefix(file, []byte("ssh-")) || bytes.HasPrefix(file, []byte("ecdsa-sha2-"))
}

// parsePEM reads every block of text, and fails if one is no public key.
func parsePEM(text []byte) (keys []Key, err error) {
	for n := 1; ; n++ {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		pub, err := parseBlock(b)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d (%s): %w", n, b.Type, err)
		}
		k, err := newKey("", pub)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d (%s): %w", n, b.Type, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("the key file says BEGIN but holds no whole PEM block")
	}
	return keys, nil
}

func parseBlock(b *pem.Block) (any, error) {
	switch b.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(b.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(b.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	return nil, errors.New("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE; a private key has no place here")
}

// newKey gives a public key or a secret its algorithm, or says why it is not
// fit for any.
func newKey(id string, key any) (Key, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return Key{}, fmt.Errorf("an RSA key of %d bits: want at least %d", k.N.BitLen(), minRSABits)
		}
		return Key{id, RS256, k}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("a key on the curve %s: want P-256, which ES256 uses", k.Curve.Params().Name)
		}
		return Key{id, ES256, k}, nil
	case ed25519.PublicKey:
		return Key{id, EdDSA, k}, nil
	case []byte:
		if len(k) < minSecretBytes {
			return Key{}, fmt.Errorf("a secret of %d bytes: want at least %d for HS256", len(k), minSecretBytes)
		}
		return Key{id, HS256, k}, nil
	}
	return Key{}, fmt.Errorf("a key of type %T: want RSA, P-256, Ed25519 or a secret", key)
}
