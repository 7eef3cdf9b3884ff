package cert

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// begin stands before the type of a PEM block.
const begin = "-----BEGIN "

// blocksOf returns the blocks of a PEM file, as editors and tools write it: with a byte order
// mark, with another end of lines, indented, and with words between. A block that cannot be
// read is an error, since pem passes it over: a chain would end with it unseen.
func blocksOf(text []byte) (all []*pem.Block, err error) {
	if err := isText(text); err != nil {
		return nil, err
	}
	var parts []string // each begins with a block, but for the first
	for l := range strings.FieldsFuncSeq(strings.TrimPrefix(string(text), "\ufeff"), func(r rune) bool { return r == '\r' || r == '\n' }) {
		if l = strings.TrimSpace(l); len(parts) == 0 || strings.HasPrefix(l, begin) {
			parts = append(parts, "")
		}
		if parts[len(parts)-1] += l + "\n"; strings.HasPrefix(l, "DEK-Info:") {
			parts[len(parts)-1] += "\n" // ends the headers
		}
	}
	for _, p := range parts {
		if !strings.HasPrefix(p, begin) {
			continue
		}
		b, _ := pem.Decode([]byte(p))
		if b == nil {
			kind, _, _ := strings.Cut(strings.TrimPrefix(p, begin), "-----")
			return nil, fmt.Errorf("found a PEM block %.40s, number %d of the file, that is cut or damaged, want it whole", kind, len(all)+1)
		}
		all = append(all, b)
	}
	return all, nil
}

// isText tells of files that are another format.
func isText(text []byte) error {
	switch {
	case len(strings.TrimSpace(string(text))) == 0:
		return errors.New("found nothing, want PEM")
	case len(text) > 1 && (text[0] == 0xff && text[1] == 0xfe || text[0] == 0xfe && text[1] == 0xff):
		return errors.New("found text in UTF-16, want PEM in ASCII or UTF-8")
	case text[0] == 0x30 && !strings.Contains(string(text), begin): // an ASN.1 sequence
		return errors.New("found a binary file (DER or PKCS #12), want PEM: openssl x509 -inform der, openssl pkey or openssl pkcs12 makes it")
	}
	return nil
}

// chainOf returns the certificates of a PEM file, in order.
func chainOf(text []byte) (chain [][]byte, err error) {
	all, err := blocksOf(text)
	for _, b := range all {
		if b.Type == "CERTIFICATE" {
			chain = append(chain, b.Bytes)
		}
	}
	if err == nil && len(chain) == 0 {
		err = fmt.Errorf("found %s, want a PEM block CERTIFICATE", kinds(all))
	}
	return chain, err
}

// keyOf returns the private key of a PEM file.
func keyOf(text []byte) (crypto.PrivateKey, error) {
	all, err := blocksOf(text)
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
	return nil, fmt.Errorf("found %s, want a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY", kinds(all))
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

// kinds names the PEM blocks that a file has.
func kinds(all []*pem.Block) string {
	if len(all) == 0 {
		return "no PEM block"
	}
	var names []string
	for _, b := range all {
		names = append(names, b.Type)
	}
	slices.Sort(names)
	return "only " + strings.Join(slices.Compact(names), ", ")
}
