package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/edge/cert"
	"meridian/edge/cert/acme"
	"meridian/internal/keyring"
	"meridian/store"
)

// certAdmin is what operators do with the certificates of all nodes.
type certAdmin struct {
	file  *config.File
	store certLedger
	keep  acme.Keeper
	ring  func() (keyring.Ring, error)
	now   func() time.Time
	edges func() map[string]string // what each node with an edge tells of its certificates
}

func (n *node) certAdmin() certAdmin {
	return certAdmin{file: n.file, store: inStore{n.store}, keep: keeper{n.store}, ring: n.keyring, now: time.Now, edges: n.certMarks}
}

// certMarks returns what the nodes with an edge tell of their certificates.
func (n *node) certMarks() map[string]string {
	out := map[string]string{}
	v := n.picture()
	for _, o := range v.file.Nodes {
		if !o.Has(config.RoleEdge) {
			continue
		}
		if out[o.Name] = v.verdicts[o.Name].facts[factCerts]; !v.verdicts[o.Name].alive {
			out[o.Name] = "it does not answer"
		}
	}
	return out
}

// maxCertName bounds how a certificate is called: a DNS name, in bytes.
const maxCertName = 253

// Add checks a certificate, and gives it to all nodes.
func (a certAdmin) Add(ctx context.Context, in client.NewCertificate) (client.Certificate, error) {
	b := cert.Bundle{Name: "certificate", Source: cert.SourceUpload, Chain: []byte(in.Chain), Key: []byte(in.Key), Added: a.now().UTC()}
	cfg := certConfig(a.file)
	cfg.Now = a.now
	checked, err := cfg.Check(b)
	if err != nil {
		return client.Certificate{}, meridian.WithKind(meridian.Invalid, err)
	}
	if b.Name = in.Name; b.Name == "" {
		b.Name = checked.Leaf.DNSNames[0]
	}
	if len(b.Name) > maxCertName || strings.ContainsFunc(b.Name, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }) {
		return client.Certificate{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("the name %.300q; expected at most %d characters, without spaces and slashes", b.Name, maxCertName))
	}
	if err := a.put(ctx, b); err != nil {
		return client.Certificate{}, err
	}
	out := shownCert(b.Name, b.Source, b.Added, chainOf(checked.Certificate), a.now())
	return out, nil
}

func chainOf(raw [][]byte) (chain []*x509.Certificate) {
	for _, der := range raw {
		if c, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, c)
		}
	}
	return chain
}

// putTries bounds how often a key of the store is written that others change too.
const putTries = 5

// put stores a bundle for all nodes.
func (a certAdmin) put(ctx context.Context, b cert.Bundle) error {
	ring, err := a.ring()
	if err != nil {
		return err
	}
	key := certKey(b.Source, b.Name)
	text, err := b.Encode(ring, key)
	if err != nil {
		return err
	}
	if len(text) > store.MaxValue {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("certificate %s has %d bytes with its chain and key; expected at most %d", b.Name, len(text), store.MaxValue))
	}
	for range putTries {
		e, _ := a.store.View().Get(key)
		if ok, err := a.store.CompareAndSwap(ctx, key, e.Rev, text); ok || err != nil {
			return err
		}
	}
	return meridian.WithKind(meridian.Unavailable, fmt.Errorf("certificate %s kept changing", b.Name))
}

// Remove takes a certificate from all nodes.
func (a certAdmin) Remove(ctx context.Context, name string) error {
	key := certKey(cert.SourceUpload, name)
	if _, ok := a.store.View().Get(key); !ok {
		return meridian.WithKind(meridian.NotFound, fmt.Errorf("no certificate that was added is named %q; `meridian cert list` shows them", name))
	}
	if a.last(name) {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("%q is the only certificate for %s; add another first", name, a.file.Domain))
	}
	return a.store.Delete(ctx, key)
}

// last reports whether nothing would be left for the domain without a
// certificate that was added.
func (a certAdmin) last(name string) bool {
	return !slices.ContainsFunc(a.List(), func(c client.Certificate) bool {
		return (c.Source != cert.SourceUpload || c.Name != name) && c.NotAfter.After(a.now()) && covers(c.Names, a.file.Domain)
	})
}

// covers reports whether one of a certificate's names is, or stands for, a domain.
func covers(names []string, domain string) bool {
	_, above, _ := strings.Cut(domain, ".")
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, domain) || strings.EqualFold(n, "*."+above) })
}

// List returns the certificates that nodes show, or are to show.
func (a certAdmin) List() []client.Certificate {
	out := []client.Certificate{}
	stored := a.store.View().Prefix(certPrefix)
	slices.SortFunc(stored, func(x, y store.Entry) int { return strings.Compare(y.Key, x.Key) }) // upload before acme
	mark, told := certMark(stored), a.edges()
	for _, e := range stored {
		source, name, _ := strings.Cut(strings.TrimPrefix(e.Key, certPrefix), "/")
		_, added, chain, err := cert.Public(name, e.Value)
		c := shownCert(name, source, added, chain, a.now())
		if err != nil {
			c.Error = err.Error()
		}
		c.Edges, c.Waiting = showing(told, mark)
		out = append(out, c)
	}
	out = a.issued(out)
	for _, p := range a.file.Pairs() {
		c := client.Certificate{Name: p.Cert, Source: cert.SourceFile, Names: []string{}}
		if text, err := os.ReadFile(p.Cert); err != nil {
			c.Error = err.Error()
		} else if chain, err := cert.ParseChain(text); err != nil {
			c.Error = err.Error()
		} else {
			c = shownCert(p.Cert, cert.SourceFile, time.Time{}, chain, a.now())
		}
		out = append(out, c)
	}
	return out
}

// issued adds to a list how the newest try of the authority went, and the
// certificates that are still to come.
func (a certAdmin) issued(out []client.Certificate) []client.Certificate {
	if a.file.ACME() == nil {
		return out
	}
	for _, name := range authorized(a.file) {
		i := slices.IndexFunc(out, func(c client.Certificate) bool { return c.Source == cert.SourceACME && c.Name == name })
		if i < 0 {
			i = len(out)
			out = append(out, client.Certificate{Name: name, Source: cert.SourceACME, Names: []string{}})
		}
		out[i].Next = acme.Next(a.keep, name)
		if r, ok := acme.Reported(a.keep, name); ok && r.Error != "" {
			out[i].Error = "not issued at " + r.At.UTC().Format(time.DateTime) + tried(r.Tries) + ": " + r.Error
		} else if len(out[i].Names) == 0 {
			out[i].Notes = append(out[i].Notes, "not issued yet")
		}
	}
	return out
}

// tried tells of tries that failed in a row.
func tried(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(", %d times in a row", n)
}

// showing counts the edges that show what the store has, and says of the others
// why they do not.
func showing(told map[string]string, mark string) (edges int, waiting map[string]string) {
	for _, node := range slices.Sorted(maps.Keys(told)) {
		said, why, wrong := strings.Cut(told[node], " but ")
		if said == mark && !wrong {
			edges++
			continue
		}
		if waiting == nil {
			waiting = map[string]string{}
		}
		switch {
		case wrong:
			waiting[node] = why
		case strings.Contains(said, "@") || said == "":
			waiting[node] = "it has not taken the newest yet"
		default:
			waiting[node] = said
		}
	}
	return edges, waiting
}

// soon is how long before its end a certificate is worth a note.
const soon = 14 * 24 * time.Hour

// soonOf returns that of a certificate. One of an authority is renewed by itself before the
// last sixth of its life.
func soonOf(source string, leaf *x509.Certificate) time.Duration {
	if source == cert.SourceACME {
		return min(soon, leaf.NotAfter.Sub(leaf.NotBefore)/6)
	}
	return soon
}

// span tells people a time.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// shownCert returns what operators see of a certificate.
func shownCert(name, source string, added time.Time, chain []*x509.Certificate, now time.Time) client.Certificate {
	c := client.Certificate{Name: name, Source: source, Names: []string{}, Added: added}
	if len(chain) == 0 {
		return c
	}
	leaf := chain[0]
	c.Names, c.Issuer, c.Serial, c.KeyType = leaf.DNSNames, leaf.Issuer.String(), leaf.SerialNumber.Text(16), leaf.PublicKeyAlgorithm.String()
	c.NotBefore, c.NotAfter = leaf.NotBefore, leaf.NotAfter
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		c.Notes = append(c.Notes, "it has ended")
	case left < soonOf(source, leaf):
		c.Notes = append(c.Notes, "it ends in "+span(left))
	}
	if source == cert.SourceUpload {
		c.Notes = append(c.Notes, untrusted(chain, now)...)
	}
	return c
}

// untrusted notes that this machine trusts no root of a chain: right for a
// private authority, and for a public one a sign that an intermediate is missing.
func untrusted(chain []*x509.Certificate, now time.Time) []string {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: now})
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return nil
	}
	return []string{"this machine trusts no root of its chain, which ends at " + chain[len(chain)-1].Issuer.String()}
}
