package cert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Config says what certificates must be good for.
type Config struct {
	Domains []string         // each must be covered, and each certificate must cover one, or what is Under
	Under   string           // a name: certificates may be for it and for those under it, and none need be
	Roots   *x509.CertPool   // a chain must lead to one of these; nil asks only that it joins
	Later   bool             // none need be there at first: they will come
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

	mu      sync.Mutex                   // guards what follows
	staples map[[sha256.Size]byte]staple // by the SHA-256 of the certificate
	base    []source                     // of Load and Use
	taken   map[string]source            // of Take, by where they are from and their names
}

// A set is what handshakes choose from. It is never changed.
type set struct {
	certs  []tls.Certificate
	first  *tls.Certificate               // for who names nothing: of the first domain, if there is one
	byName map[string][]*tls.Certificate  // lower case; wildcards as *.example.test
	ends   map[*tls.Certificate]time.Time // of their staples
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
		named = append(named, source{Certificate: c, name: p.Cert, from: SourceFile})
	}
	return s.use(named, errs)
}

// Use checks certificates that are in memory already, such as those of the
// internal CA, and puts them to use, all of them or none.
func (s *Store) Use(certs ...tls.Certificate) error {
	var named []source
	for i, c := range certs {
		named = append(named, source{Certificate: c, name: fmt.Sprintf("certificate %d", i+1), from: SourceFile})
	}
	return s.use(named, nil)
}

// A source is a certificate, how errors call it, and where it is from.
type source struct {
	tls.Certificate
	name, from string
	ends       time.Time // of its staple
}

// use checks a set, and publishes it if neither it nor errs speaks against it.
func (s *Store) use(named []source, errs []error) error {
	for i := range named {
		errs = append(errs, s.cfg.check(&named[i]))
	}
	if errors.Join(errs...) == nil && !(s.cfg.Later && len(named) == 0) {
		errs = append(errs, s.cfg.covered(named))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = named
	s.publish()
	return nil
}

// Take puts bundles to use beside what Load or Use gave, and before it, in place
// of those of an earlier call. One that is not good, or has no key since that
// could not be read, is left out, and what its name had before stays; the error
// joins what is wrong with each.
func (s *Store) Take(bundles []Bundle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	next := map[string]source{}
	for _, b := range bundles {
		c, err := s.cfg.Check(b)
		if err == nil {
			next[b.id()] = source{Certificate: c, name: b.Name, from: b.Source}
			continue
		}
		errs = append(errs, err)
		if was, ok := s.taken[b.id()]; ok {
			next[b.id()] = was
		}
	}
	s.taken = next
	s.publish()
	return errors.Join(errs...)
}

// publish lets handshakes choose from what there is now. Where that is nothing,
// they keep what they had.
func (s *Store) publish() {
	var all []source
	for _, c := range s.taken {
		all = append(all, c)
	}
	slices.SortFunc(all, preferred)
	all = append(all, s.base...)
	now := s.cfg.Now()
	slices.SortStableFunc(all, func(a, b source) int { return over(a, now) - over(b, now) })
	for i := range all {
		if st, ok := s.staples[sha256.Sum256(all[i].Certificate.Certificate[0])]; ok && st.fresh(now) {
			all[i].OCSPStaple, all[i].ends = st.text, st.to
		}
	}
	if len(all) > 0 {
		s.set.Store(newSet(all, s.cfg.Domains))
	}
}

// over is 1 for a certificate whose time is over, else 0: it is shown where there is
// no other.
func over(c source, now time.Time) int {
	if now.After(c.Leaf.NotAfter) {
		return 1
	}
	return 0
}

// preferred says which of two is shown: what an operator brought, then what
// began last.
func preferred(a, b source) int {
	if a.from != b.from {
		return strings.Compare(b.from, a.from) // upload before acme
	}
	if c := b.Leaf.NotBefore.Compare(a.Leaf.NotBefore); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// newSet indexes certificates by their names; of two with a name, the one that
// stands first is shown, to those who can use it.
func newSet(named []source, domains []string) *set {
	out := &set{byName: map[string][]*tls.Certificate{}, ends: map[*tls.Certificate]time.Time{}}
	for _, n := range named {
		out.certs = append(out.certs, n.Certificate)
	}
	out.first = &out.certs[0]
	if i := slices.IndexFunc(named, func(n source) bool { return len(domains) > 0 && n.Leaf.VerifyHostname(domains[0]) == nil }); i >= 0 {
		out.first = &out.certs[i]
	}
	for i := range out.certs {
		if named[i].OCSPStaple != nil {
			out.ends[&out.certs[i]] = named[i].ends
		}
		for _, name := range out.certs[i].Leaf.DNSNames {
			name = strings.ToLower(name)
			out.byName[name] = append(out.byName[name], &out.certs[i])
		}
	}
	return out
}

// GetCertificate returns the certificate for a handshake: of the server's name
// (RFC 6066, section 3), else of the wildcard above it, else the first of the
// domain. A client that named something else, or nothing, is shown a name to find fault with.
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := s.set.Load()
	if now == nil || len(now.certs) == 0 {
		return nil, errors.New("no certificate is loaded")
	}
	return now.inTime(now.named(hello), s.cfg.Now()), nil
}

// named returns the certificate for who names a server.
func (s *set) named(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if cs := s.byName[name]; cs != nil {
		return usable(cs, hello)
	}
	if _, above, ok := strings.Cut(name, "."); ok {
		if cs := s.byName["*."+above]; cs != nil {
			return usable(cs, hello)
		}
	}
	return s.first
}

// inTime returns a certificate without what its responder said, once that is over: clients
// end a handshake with an old answer, and not one without.
func (s *set) inTime(c *tls.Certificate, now time.Time) *tls.Certificate {
	if ends, ok := s.ends[c]; !ok || now.Before(ends) {
		return c
	}
	bare := *c
	bare.OCSPStaple = nil
	return &bare
}

// usable returns the first that the client can use, such as the RSA one of two
// for a client without ECDSA, else the first.
func usable(cs []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(cs) > 1 {
		for _, c := range cs {
			if hello.SupportsCertificate(c) == nil {
				return c
			}
		}
	}
	return cs[0]
}

// Certificates returns the leaves in use, in the order in which they are
// preferred.
func (s *Store) Certificates() (leaves []*x509.Certificate) {
	if now := s.set.Load(); now != nil {
		for _, c := range now.certs {
			leaves = append(leaves, c.Leaf)
		}
	}
	return leaves
}
