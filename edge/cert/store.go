package cert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// A Config says what certificates must be good for.
type Config struct {
	Domains []string         // each must be covered, and each certificate must cover one
	Roots   *x509.CertPool   // a chain must lead to one of these; nil asks only that it joins
	Now     func() time.Time // nil means time.Now
}

// A Pair names two PEM files: a certificate followed by its chain, and its key.
// They may be one file.
type Pair struct{ Cert, Key string }

// A Store hands out certificates. Make one with New; its methods may be called
// by many goroutines at once.
type Store struct {
	cfg Config
	set atomic.Pointer[set]
}

// A set is what handshakes choose from. It is never changed.
type set struct {
	certs  []tls.Certificate
	byName map[string]*tls.Certificate // lower case; wildcards as *.example.test
}

// New returns a store without certificates.
func New(cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Store{cfg: cfg}
}

// Load reads and checks pairs and puts them to use, all of them or none. Its
// error joins what is wrong with each.
func (s *Store) Load(pairs []Pair) error {
	var named []source
	var errs []error
	for _, p := range pairs {
		c, err := read(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		named = append(named, source{c, p.Cert})
	}
	return s.use(named, errs)
}

// Use checks certificates that are in memory already, such as those of the
// internal CA, and puts them to use, all of them or none.
func (s *Store) Use(certs ...tls.Certificate) error {
	var named []source
	for i, c := range certs {
		named = append(named, source{c, fmt.Sprintf("certificate %d", i+1)})
	}
	return s.use(named, nil)
}

// A source is a certificate and how errors call it.
type source struct {
	tls.Certificate
	name string
}

// use checks a set, and publishes it if neither it nor errs speaks against it.
func (s *Store) use(named []source, errs []error) error {
	for i := range named {
		errs = append(errs, s.cfg.check(&named[i]))
	}
	if errors.Join(errs...) == nil {
		errs = append(errs, s.cfg.covered(named))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.set.Store(newSet(named))
	return nil
}

// newSet indexes certificates by their names; of two with a name, the one that
// stands first is shown.
func newSet(named []source) *set {
	out := &set{byName: map[string]*tls.Certificate{}}
	for _, n := range named {
		out.certs = append(out.certs, n.Certificate)
	}
	for i := range out.certs {
		for _, name := range out.certs[i].Leaf.DNSNames {
			if name = strings.ToLower(name); out.byName[name] == nil {
				out.byName[name] = &out.certs[i]
			}
		}
	}
	return out
}

// GetCertificate returns the certificate for a handshake: of the server's name
// (RFC 6066, section 3), else of the wildcard above it, else the first. A client
// that named something else, or nothing, is shown a name to find fault with.
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := s.set.Load()
	if now == nil || len(now.certs) == 0 {
		return nil, errors.New("no certificate is loaded")
	}
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if c := now.byName[name]; c != nil {
		return c, nil
	}
	if _, above, ok := strings.Cut(name, "."); ok {
		if c := now.byName["*."+above]; c != nil {
			return c, nil
		}
	}
	return &now.certs[0], nil
}

// Certificates returns the leaves in use, in the order in which they were given.
func (s *Store) Certificates() (leaves []*x509.Certificate) {
	if now := s.set.Load(); now != nil {
		for _, c := range now.certs {
			leaves = append(leaves, c.Leaf)
		}
	}
	return leaves
}
