package cert

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"meridian/internal/pemfile"
)

// chainOf returns the certificates of a PEM file, in order.
func chainOf(text []byte) (chain [][]byte, err error) {
	all, err := pemfile.Blocks(text)
	for _, b := range all {
		if b.Type == "CERTIFICATE" {
			chain = append(chain, b.Bytes)
		}
	}
	if err == nil && len(chain) == 0 {
		err = fmt.Errorf("found %s, want a PEM block CERTIFICATE", pemfile.Kinds(all))
	}
	return chain, err
}

// keyOf returns the private key of a PEM file.
func keyOf(text []byte) (crypto.PrivateKey, error) {
	all, err := pemfile.Blocks(text)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		switch {
		case strings.HasPrefix(b.Type, "ENCRYPTED") || b.Headers["Proc-Type"] != "":
			return nil, errors.New("found an encrypted key, want one without a passphrase: openssl pkey takes it away")
		case b.Type == "PRIVATE KEY" || b.Type == "EC PRIVATE KEY" || b.Type == "RSA PRIVATE KEY":
			return parseKey(b)
		}
	}
	return nil, fmt.Errorf("found %s, want a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY", pemfile.Kinds(all))
}

// parseKey reads a private key in any of its forms, however its block is called.
func parseKey(b *pem.Block) (crypto.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(b.Bytes); err == nil {
		return key, nil
	}
	if strings.Contains(err.Error(), "asn1") {
		err = errors.New("its content is no key")
	}
	return nil, fmt.Errorf("found a block %s that cannot be read: %w", b.Type, err)
}
