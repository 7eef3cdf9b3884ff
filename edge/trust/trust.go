package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"meridian/internal/pemfile"
)

// A Config is what a trust store is made of.
type Config struct {
	CA           []byte // PEM: roots, and intermediates if clients do not send them
	IgnoreExpiry bool   // a client's certificate may have ended, or not begun
}

// A Store is a trust store. Its methods may be called by many goroutines at once.
type Store struct {
	cas          []*x509.Certificate
	roots        *x509.CertPool
	between      []*x509.Certificate // those of cas that no root is
	ignoreExpiry bool
	lists        atomic.Pointer[map[serial]bool] // of revocation lists
	serials      atomic.Pointer[map[string]bool] // that an operator named, hexadecimal
	fallen       atomic.Bool                     // a list names one of cas
}

// A serial names a certificate: by its issuer, as DER, and its number.
type serial struct{ issuer, number string }

func serialOf(c *x509.Certificate) serial {
	return serial{string(c.RawIssuer), string(c.SerialNumber.Bytes())}
}

// New returns a trust store. Of the certificates in its file, those that are
// signed by themselves are roots; if none is, all are.
func New(c Config) (*Store, error) {
	s := &Store{roots: x509.NewCertPool(), ignoreExpiry: c.IgnoreExpiry}
	all, err := pemfile.Blocks(c.CA)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(s.cas)+1, err)
		}
		if !ca.IsCA {
			return nil, fmt.Errorf("certificate %d: found %q, which is no authority, want one that may sign", len(s.cas)+1, ca.Subject)
		}
		s.cas = append(s.cas, ca)
	}
	if len(s.cas) == 0 {
		return nil, errors.New("found no certificate, want a PEM block CERTIFICATE")
	}
	s.sort()
	return s, nil
}

// sort tells roots from intermediates.
func (s *Store) sort() {
	for _, ca := range s.cas {
		if ca.CheckSignatureFrom(ca) != nil {
			s.between = append(s.between, ca)
		}
	}
	if len(s.between) == len(s.cas) {
		s.between = nil
	}
	for _, ca := range s.cas {
		if !contains(s.between, ca) {
			s.roots.AddCert(ca)
		}
	}
}

func contains(cs []*x509.Certificate, c *x509.Certificate) bool {
	for _, x := range cs {
		if x.Equal(c) {
			return true
		}
	}
	return false
}

// Authorities returns a pool of what the store trusts, whose names a server may
// tell clients (RFC 8446, section 4.2.4).
func (s *Store) Authorities() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range s.cas {
		pool.AddCert(ca)
	}
	return pool
}

// Verify says why a client that showed a chain is not believed, or returns nil.
func (s *Store) Verify(chain []*x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the client showed no certificate")
	}
	leaf := chain[0]
	if s.ignoreExpiry { // RFC 5280, section 4.1.2.5: both ends are included
		now = within(now, leaf.NotBefore, leaf.NotAfter)
	}
	o := x509.VerifyOptions{Roots: s.roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, c := range append(chain[1:len(chain):len(chain)], s.between...) {
		o.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(o)
	if err != nil {
		return fmt.Errorf("the client's certificate %q: %w", leaf.Subject, err)
	}
	for _, c := range chains { // one good way is enough
		if err = s.Revoked(c); err == nil {
			return nil
		}
	}
	return err
}

func within(t, from, to time.Time) time.Time {
	switch {
	case t.Before(from):
		return from
	case t.After(to):
		return to
	}
	return t
}

// Revoked says which of a chain was revoked, or returns nil.
func (s *Store) Revoked(chain []*x509.Certificate) error {
	lists, serials := s.lists.Load(), s.serials.Load()
	for i, c := range chain {
		listed := lists != nil && (*lists)[serialOf(c)]
		named := i == 0 && serials != nil && (*serials)[c.SerialNumber.Text(16)]
		if listed || named {
			return fmt.Errorf("the certificate %q, serial number %s, was revoked", c.Subject, c.SerialNumber.Text(16))
		}
	}
	return nil
}

// Refused says why a client that was let in with a chain may not stay, or returns nil: it
// or who signed for it was revoked since, also an authority of the store that it did not
// show. That its time is over since is no reason.
func (s *Store) Refused(shown []*x509.Certificate, now time.Time) error {
	if len(shown) == 0 {
		return nil
	}
	if err := s.Revoked(shown); err != nil || !s.fallen.Load() {
		return err
	}
	return s.Verify(shown, within(now, shown[0].NotBefore, shown[0].NotAfter))
}

// RevokeSerials replaces the serial numbers that an operator named: hexadecimal.
func (s *Store) RevokeSerials(numbers []string) {
	m := map[string]bool{}
	for _, n := range numbers {
		m[strings.ToLower(n)] = true
	}
	s.serials.Store(&m)
}

// RevokeLists replaces the revocation lists (RFC 5280, section 5), all of them or
// none: PEM blocks X509 CRL, or one list as DER. A list whose time is over still
// counts, and is named in late: what it revoked stays revoked.
func (s *Store) RevokeLists(text []byte, now time.Time) (late []string, err error) {
	lists, err := parseLists(text)
	if err != nil {
		return nil, err
	}
	revoked := map[serial]bool{}
	for i, l := range lists {
		if err := s.signed(l); err != nil {
			return nil, fmt.Errorf("list %d: %w", i+1, err)
		}
		if !l.NextUpdate.IsZero() && now.After(l.NextUpdate) {
			late = append(late, fmt.Sprintf("the list of %q should have been replaced by %s", l.Issuer, l.NextUpdate.Format(time.RFC3339)))
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.ReasonCode != removeFromCRL {
				revoked[serial{string(l.RawIssuer), string(e.SerialNumber.Bytes())}] = true
			}
		}
	}
	fallen := false
	for _, ca := range s.cas {
		fallen = fallen || revoked[serialOf(ca)]
	}
	s.lists.Store(&revoked)
	s.fallen.Store(fallen)
	return late, nil
}

// removeFromCRL lifts a hold (RFC 5280, section 5.3.1).
const removeFromCRL = 8

func parseLists(text []byte) (lists []*x509.RevocationList, err error) {
	if len(text) > 0 && text[0] == 0x30 { // DER begins with a sequence
		l, err := x509.ParseRevocationList(text)
		if err != nil {
			return nil, fmt.Errorf("found a list that cannot be read: %w", err)
		}
		return []*x509.RevocationList{l}, nil
	}
	all, err := pemfile.Blocks(text)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Type != "X509 CRL" {
			continue
		}
		l, err := x509.ParseRevocationList(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("list %d cannot be read: %w", len(lists)+1, err)
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 {
		return nil, errors.New("found no list, want a PEM block X509 CRL, or DER")
	}
	return lists, nil
}

// signed checks that a list is of an authority of the store.
func (s *Store) signed(l *x509.RevocationList) error {
	for _, ca := range s.cas {
		if string(ca.RawSubject) == string(l.RawIssuer) && l.CheckSignatureFrom(ca) == nil {
			return nil
		}
	}
	return fmt.Errorf("found one of %q, want one that is signed by an authority of the trust store", l.Issuer)
}
