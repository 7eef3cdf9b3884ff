package cert

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// CheckIssued says what is wrong with a chain, PEM, that an authority answered to a
// request. That its time has not begun is not: clocks differ.
func (cfg Config) CheckIssued(csr *x509.CertificateRequest, text []byte) error {
	chain, err := ParseChain(text)
	if err != nil {
		return err
	}
	now := time.Now()
	if cfg.Now != nil {
		now = cfg.Now()
	}
	leaf := chain[0]
	cfg.Now = func() time.Time { return later(now, leaf.NotBefore) }
	return first(belongs(leaf, csr.PublicKey), named(leaf, csr.DNSNames), cfg.good(chain))
}

// named checks that a certificate has all of some names.
func named(leaf *x509.Certificate, want []string) error {
	for _, n := range want {
		if !slices.ContainsFunc(leaf.DNSNames, func(has string) bool { return strings.EqualFold(has, n) }) {
			return fmt.Errorf("found a certificate for %s, want one for %s", names(leaf), strings.Join(want, ", "))
		}
	}
	return nil
}
