package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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

// Check says what is wrong with a bundle, or returns it ready for handshakes.
func (cfg Config) Check(b Bundle) (c tls.Certificate, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if c.Certificate, err = chainOf(b.Chain); err == nil {
		c.PrivateKey, err = keyOf(b.Key)
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", b.Name, err)
	}
	named := source{Certificate: c, name: b.Name}
	err = cfg.check(&named)
	return named.Certificate, err
}

// chainOf returns the certificates of a PEM file, in order.
func chainOf(text []byte) (chain [][]byte, err error) {
	found := map[string]bool{}
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if found[b.Type] = true; b.Type == "CERTIFICATE" {
			chain = append(chain, b.Bytes)
		}
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("found %s, want a PEM block CERTIFICATE", blocks(found))
	}
	return chain, nil
}

// keyOf returns the private key of a PEM file.
func keyOf(text []byte) (crypto.PrivateKey, error) {
	found := map[string]bool{}
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil, fmt.Errorf("found %s, want a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY", blocks(found))
		}
		found[b.Type] = true
		if strings.HasPrefix(b.Type, "ENCRYPTED") || b.Headers["Proc-Type"] != "" {
			return nil, errors.New("found an encrypted key, want one without a passphrase")
		}
		var key any
		var err error
		switch b.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("found a block %s that cannot be read: %w", b.Type, err)
		}
		return key, nil
	}
}

// blocks names the PEM blocks that a file has.
func blocks(found map[string]bool) string {
	if len(found) == 0 {
		return "no PEM block"
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return "only " + strings.Join(names, ", ")
}

// check says what is wrong with one certificate, and fills in its Leaf.
func (cfg Config) check(c *source) error {
	chain, err := parse(c.Certificate.Certificate)
	if err == nil {
		c.Leaf = chain[0]
		err = first(matches(c.Leaf, c.PrivateKey), cfg.good(chain))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// good says what is wrong with a chain, whosever key it has.
func (cfg Config) good(chain []*x509.Certificate) error {
	return first(strong(chain[0]), joins(chain), inTime(chain, cfg.Now()), cfg.trusted(chain), cfg.fits(chain[0]))
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

// matches checks that the key is the certificate's.
func matches(leaf *x509.Certificate, key crypto.PrivateKey) error {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("found a key of type %T, want one that signs", key)
	}
	return belongs(leaf, signer.Public())
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
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return fmt.Errorf("found %s after %s in the chain, want its issuer, %s: %w", subject(c), subject(chain[i]), chain[i].Issuer, err)
		}
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
		return fmt.Errorf("found a certificate for %s, want one for %s", names(leaf), want)
	}
	under := func(name string) bool {
		name = strings.ToLower(name)
		return name == strings.ToLower(cfg.Under) || strings.HasSuffix(name, "."+strings.ToLower(cfg.Under))
	}
	if slices.ContainsFunc(leaf.DNSNames, under) {
		return nil
	}
	return fmt.Errorf("found a certificate for %s, want one for %s, or for %s or a name under it", names(leaf), want, cfg.Under)
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
	if len(c.DNSNames) == 0 {
		return "no DNS name"
	}
	return strings.Join(c.DNSNames, ", ")
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
