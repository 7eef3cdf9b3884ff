package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// minRSA and maxRSA bound the bits of a key. CloudFront takes 2048; the work of
// a verification grows with the square.
const minRSA, maxRSA = 2048, 4096

// ParsePublicKey reads the PEM file of a public key, RSA or ECDSA on P-256.
func ParsePublicKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("found no public key; expected a PEM file that begins with -----BEGIN PUBLIC KEY-----")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("found a public key that cannot be read: %w", err)
	}
	return key, usable(key)
}

// usable says what is wrong with a public key.
func usable(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("found RSA with %d bits; expected %d to %d", n, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("found ECDSA on %s; expected P-256", k.Curve.Params().Name)
	}
	return fmt.Errorf("found a key of another kind, %T; expected RSA, or ECDSA on P-256", key)
}

// ParsePrivateKey reads the PEM file of a private key: PKCS #8, or the older
// forms that openssl writes.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		key, err := privateKey(block)
		if err != nil {
			return nil, fmt.Errorf("found a private key that cannot be read: %w", err)
		}
		if key != nil {
			return key, usable(key.Public())
		}
	}
	return nil, errors.New("found no private key; expected a PEM file, as openssl genrsa or openssl ecparam -genkey write it")
}

// privateKey returns the key of a block, or nil if it is of another type.
func privateKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if signer, ok := key.(crypto.Signer); ok {
			return signer, err
		}
		return nil, err
	}
	return nil, nil
}
