package cert

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"meridian/internal/keyring"
)

// Where certificates come from, the first being shown before the next.
const (
	SourceUpload = "upload"
	SourceACME   = "acme"
	SourceFile   = "file"
)

// A Bundle is a certificate that all nodes are to show.
type Bundle struct {
	Name   string // how operators call it
	Source string // SourceUpload or SourceACME
	Chain  []byte // PEM: the certificate, then its intermediates
	Key    []byte // PEM
	Added  time.Time
}

func (b Bundle) id() string { return b.Source + "/" + b.Name }

// A record is a bundle as it is stored.
type record struct {
	Source string         `json:"source"`
	Chain  string         `json:"chain"`
	Key    keyring.Sealed `json:"key"`
	Added  time.Time      `json:"added"`
}

// Encode returns the bundle as it is stored at a place, its key encrypted.
func (b Bundle) Encode(r keyring.Ring, place string) ([]byte, error) {
	sealed, err := r.Seal(place, b.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", b.Name, err)
	}
	return json.Marshal(record{b.Source, string(b.Chain), sealed, b.Added})
}

// Decode reads what Encode wrote, of a bundle with that name. Old reports whether
// its key should be sealed anew.
func Decode(r keyring.Ring, name, place string, text []byte) (b Bundle, old bool, err error) {
	var stored record
	if err := json.Unmarshal(text, &stored); err != nil {
		return b, false, fmt.Errorf("certificate %s: %w", name, err)
	}
	b = Bundle{Name: name, Source: stored.Source, Chain: []byte(stored.Chain), Added: stored.Added}
	if b.Key, err = r.Open(place, stored.Key); err != nil {
		return b, false, fmt.Errorf("certificate %s: its private key: %w", name, err)
	}
	return b, !r.Newest(stored.Key), nil
}

// Public reads the certificates of a stored bundle, which needs no key.
func Public(name string, text []byte) (source string, added time.Time, chain []*x509.Certificate, err error) {
	var stored record
	if err := json.Unmarshal(text, &stored); err != nil {
		return "", added, nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	raw, err := chainOf([]byte(stored.Chain))
	if err == nil {
		chain, err = parse(raw)
	}
	if err != nil {
		err = fmt.Errorf("certificate %s: %w", name, err)
	}
	return stored.Source, stored.Added, chain, err
}
