package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// A jwk is a JSON Web Key: RFC 7517, section 4; the members of each type are
// in RFC 7518, section 6, and RFC 8037, section 2.
type jwk struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	ID    string `json:"kid"`
	Curve string `json:"crv"`
	N     octets `json:"n"`
	E     octets `json:"e"`
	X     octets `json:"x"`
	Y     octets `json:"y"`
	K     octets `json:"k"`
}

// octets are bytes that JSON carries as unpadded base64url.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = base64.RawURLEncoding.Strict().DecodeString(string(text))
	return err
}

// parseJWKS reads a JWK Set or one JWK. Keys for encryption, and keys of types
// or algorithms that Meridian does not verify, are passed over (RFC 7517,
// section 5); a set with none left is an error.
func parseJWKS(text []byte) (keys []Key, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("JWK set: %w", err)
	}
	if set.Keys == nil {
		set.Keys = []json.RawMessage{text}
	}
	passed := errors.New("it is empty")
	for i, raw := range set.Keys {
		k, err := parseJWK(raw)
		if err != nil {
			passed = fmt.Errorf("key %d: %w", i+1, err)
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("JWK set without a key that can verify: %w", passed)
	}
	return keys, nil
}

func parseJWK(raw []byte) (Key, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return Key{}, err
	}
	if j.Use != "" && j.Use != "sig" {
		return Key{}, fmt.Errorf("its use is %.20q: want \"sig\"", j.Use)
	}
	pub, err := j.public()
	if err != nil {
		return Key{}, err
	}
	k, err := newKey(j.ID, pub)
	if err != nil {
		return Key{}, err
	}
	if j.Alg != "" && j.Alg != k.alg {
		return Key{}, fmt.Errorf("its alg is %.20q: want %q for a key of that type", j.Alg, k.alg)
	}
	return k, nil
}

// PublicJWK reads one JWK, and returns its public key, or the octets of a secret.
func PublicJWK(raw []byte) (any, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, err
	}
	return j.public()
}

// public returns the key in the form that newKey takes.
func (j *jwk) public() (any, error) {
	switch {
	case j.Type == "RSA":
		e := new(big.Int).SetBytes(j.E)
		if len(j.N) == 0 || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
			return nil, errors.New("an RSA key without a modulus or with an unusable exponent")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(j.N), E: int(e.Int64())}, nil
	case j.Type == "EC" && j.Curve == "P-256":
		if len(j.X) != 32 || len(j.Y) != 32 {
			return nil, errors.New("a P-256 key whose coordinates are not 32 bytes")
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, j.X...), j.Y...))
	case j.Type == "OKP" && j.Curve == "Ed25519":
		if len(j.X) != ed25519.PublicKeySize {
			return nil, errors.New("an Ed25519 key that is not 32 bytes")
		}
		return ed25519.PublicKey(j.X), nil
	case j.Type == "oct":
		return []byte(j.K), nil
	}
	return nil, fmt.Errorf("a key of type %.20q, curve %.20q: want RSA, EC P-256, OKP Ed25519 or oct", j.Type, j.Curve)
}
