package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// read reads the two files of a pair.
func read(p Pair) (tls.Certificate, error) {
	var c tls.Certificate
	text, err := os.ReadFile(p.Cert)
	if err != nil {
		return c, fmt.Errorf("read certificate: %w", err)
	}
	if c.Certificate, err = chainOf(text); err != nil {
		return c, fmt.Errorf("%s: %w", p.Cert, err)
	}
	if text, err = os.ReadFile(p.Key); err != nil {
		return c, fmt.Errorf("read key: %w", err)
	}
	if c.PrivateKey, err = keyOf(text); err != nil {
		return c, fmt.Errorf("%s: %w", p.Key, err)
	}
	return c, nil
}

// Check says what is wrong with a bundle, or returns it ready for handshakes. What is wrong
// with the text of its key stands behind "its key: ".
func (cfg Config) Check(b Bundle) (c tls.Certificate, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if c.Certificate, err = chainOf(b.Chain); err != nil {
		return c, fmt.Errorf("%s: %w", b.Name, err)
	}
	if c.PrivateKey, err = keyOf(b.Key); err != nil {
		return c, fmt.Errorf("%s: its key: %w", b.Name, err)
	}
	named := source{Certificate: c, name: b.Name}
	err = cfg.check(&named)
	return named.Certificate, err
}

// check says what is wrong with one certificate, and fills in its Leaf.
func (cfg Config) check(c *source) error {
	chain, err := parse(c.Certificate.Certificate)
	if err == nil {
		c.Leaf = chain[0]
		err = first(matches(chain, c.PrivateKey), cfg.good(chain))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// good says what is wrong with a chain, whosever key it has.
func (cfg Config) good(chain []*x509.Certificate) error {
	return first(strong(chain[0]), signed(chain), joins(chain), inTime(chain, cfg.Now()), cfg.trusted(chain), allowed(chain, cfg.Now()), cfg.fits(chain[0]))
}

// first returns the first error: the later ones follow from it.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func parse(raw [][]byte) (chain []*x509.Certificate, err error) {
	for i, der := range raw {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain cannot be read: %w", i+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("found no certificate")
	}
	return chain, nil
}

// matches checks that the key is the first certificate's.
func matches(chain []*x509.Certificate, key crypto.PrivateKey) error {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("found a key of type %T, want one that signs", key)
	}
	err := belongs(chain[0], signer.Public())
	for i, c := range chain[1:] {
		if err != nil && belongs(c, signer.Public()) == nil {
			return fmt.Errorf("found the certificate of this key, %s, at place %d of the chain, want it first, and each one's issuer after it", subject(c), i+2)
		}
	}
	return err
}

// belongs checks that a public key is the certificate's.
func belongs(leaf *x509.Certificate, key crypto.PublicKey) error {
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key) {
		return fmt.Errorf("found the key of another certificate, want that of %s, a key of type %s", subject(leaf), leaf.PublicKeyAlgorithm)
	}
	return nil
}

// strong checks that clients take a certificate's key: none takes RSA of less than
// 2048 bits (NIST SP 800-131A, and the rules of browsers), and TLS has no curve but
// these (RFC 8446, section 4.2.3).
func strong(leaf *x509.Certificate) error {
	switch k := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 {
			return fmt.Errorf("found %s with an RSA key of %d bits, want 2048 at least: clients refuse it", subject(leaf), n)
		}
	case *ecdsa.PublicKey:
		if c := k.Curve; c != elliptic.P256() && c != elliptic.P384() && c != elliptic.P521() {
			return fmt.Errorf("found %s with a key on %s, want P-256, P-384 or P-521: TLS has no other", subject(leaf), c.Params().Name)
		}
	}
	return nil
}

// joins checks that each certificate of a chain is signed by the next.
func joins(chain []*x509.Certificate) error {
	for i, c := range chain[1:] {
		if c.Equal(chain[i]) {
			return fmt.Errorf("found %s twice in the chain, at places %d and %d, want it once", subject(c), i+1, i+2)
		}
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return fmt.Errorf("found %s after %s in the chain, want its issuer, %s: %w", subject(c), subject(chain[i]), chain[i].Issuer, err)
		}
	}
	return nil
}

// signed checks that no certificate but a root is signed with a hash that clients refuse.
func signed(chain []*x509.Certificate) error {
	for i, c := range chain {
		if i > 0 && bytes.Equal(c.RawIssuer, c.RawSubject) {
			continue // nobody looks at a root's signature
		}
		switch a := c.SignatureAlgorithm; a {
		case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			return fmt.Errorf("found %s, signed with %s, want SHA-256 at least: clients refuse it", subject(c), a)
		}
	}
	return nil
}

// allowed checks that the authorities of a chain may sign what they did: for these names
// (RFC 5280, section 4.2.1.10), in so long a chain, for servers.
func allowed(chain []*x509.Certificate, now time.Time) error {
	last := len(chain) - 1
	if last == 0 {
		return nil
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[last])
	for _, c := range chain[1:last] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err != nil {
		return fmt.Errorf("found a chain that clients refuse, want one whose authorities may sign for %s, for servers, in a chain of %d: %w", names(chain[0]), len(chain), err)
	}
	return nil
}

// inTime checks that none of a chain is too old or too new.
func inTime(chain []*x509.Certificate, now time.Time) error {
	for _, c := range chain {
		switch {
		case now.After(c.NotAfter):
			return fmt.Errorf("found %s, which ended at %s; it is %s", subject(c), c.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		case now.Before(c.NotBefore):
			return fmt.Errorf("found %s, which begins at %s; it is %s", subject(c), c.NotBefore.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// trusted checks that the chain leads to a root, and is for servers.
func (cfg Config) trusted(chain []*x509.Certificate) error {
	leaf := chain[0]
	if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return fmt.Errorf("found %s, which is not for servers, want the extended key usage serverAuth", subject(leaf))
	}
	if cfg.Roots == nil {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: cfg.Roots, Intermediates: between, CurrentTime: cfg.Now()}); err != nil {
		return fmt.Errorf("found a chain that ends at %s, want one that leads to a trusted root: %w", chain[len(chain)-1].Issuer, err)
	}
	return nil
}

// fits checks that a certificate is for one of the domains, or for what is under
// the name that may have some of its own.
func (cfg Config) fits(leaf *x509.Certificate) error {
	if len(cfg.Domains) == 0 || slices.ContainsFunc(cfg.Domains, func(d string) bool { return leaf.VerifyHostname(d) == nil }) {
		return nil
	}
	want := strings.Join(cfg.Domains, " or ")
	if cfg.Under == "" {
		return fmt.Errorf("found a certificate for %s, want one for %s%s", names(leaf), want, hint(leaf))
	}
	under := func(name string) bool {
		name = strings.ToLower(name)
		return name == strings.ToLower(cfg.Under) || strings.HasSuffix(name, "."+strings.ToLower(cfg.Under))
	}
	if slices.ContainsFunc(leaf.DNSNames, under) {
		return nil
	}
	return fmt.Errorf("found a certificate for %s, want one for %s, or for %s or a name under it%s", names(leaf), want, cfg.Under, hint(leaf))
}

// covered checks that every domain has a certificate.
func (cfg Config) covered(set []source) error {
	if len(set) == 0 {
		return errors.New("certificates: found none, want at least one")
	}
	for _, d := range cfg.Domains {
		if !slices.ContainsFunc(set, func(s source) bool { return s.Leaf.VerifyHostname(d) == nil }) {
			return fmt.Errorf("certificates: found none for %s, want one", d)
		}
	}
	return nil
}

func names(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return strings.Join(c.DNSNames, ", ")
	case len(c.IPAddresses) > 0:
		return fmt.Sprintf("no DNS name, only the addresses %v", c.IPAddresses)
	case c.Subject.CommonName != "":
		return fmt.Sprintf("no DNS name, only the common name %q, at which clients do not look", c.Subject.CommonName)
	}
	return "no DNS name"
}

// hint says why a certificate may not be for what it seems to be for.
func hint(c *x509.Certificate) string {
	switch {
	case slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.HasSuffix(n, ".") }):
		return "; no client takes a name that ends with a dot"
	case slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.HasPrefix(n, "*.") }):
		return "; a wildcard stands for one label, and not for none"
	}
	return ""
}

// subject names a certificate for people.
func subject(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return fmt.Sprintf("%q", c.Subject.CommonName)
	}
	return fmt.Sprintf("%q", names(c))
}

// ParseChain reads the certificates of a PEM file, in order.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	raw, err := chainOf(text)
	if err != nil {
		return nil, err
	}
	return parse(raw)
}
