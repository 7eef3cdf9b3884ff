package server

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian"
	"meridian/config"
	"meridian/edge"
	"meridian/edge/cert"
	"meridian/edge/cert/acme"
	"meridian/internal/lifecycle"
	"meridian/store"
)

// keeper is the store as ACME sees it.
type keeper struct{ store.Store }

// Get implements acme.Keeper.
func (k keeper) Get(key string) (value []byte, rev int64, ok bool) {
	e, ok := k.Now().Get(key)
	return e.Value, e.Rev, ok
}

// Keys implements acme.Keeper.
func (k keeper) Keys(prefix string) (keys []string) {
	for _, e := range k.Now().Prefix(prefix) {
		keys = append(keys, e.Key)
	}
	return keys
}

// certificateAuthority returns this edge's part in ACME, and what answers
// validations; all nil without an authority in the file.
func (n *node) certificateAuthority() (*acme.Manager, edge.Challenges, error) {
	a := n.file.ACME()
	if a == nil {
		return nil, nil, nil
	}
	if _, err := n.keyring(); err != nil {
		return nil, nil, err
	}
	roots, err := rootsOf(a.CA)
	if err != nil {
		return nil, nil, err
	}
	door := netip.AddrPortFrom(n.self.Address, n.self.Ports.HTTPS)
	if a.Challenge == acme.HTTP01 {
		door = netip.AddrPortFrom(n.self.Address, n.self.Ports.HTTP)
	}
	log := n.log.With("hop", "edge")
	s := acme.NewStorage(keeper{n.store}, n.keyring, n.self.Name+"#"+n.boot, log)
	m := acme.New(
		acme.Config{Names: authorized(n.file), Email: a.Email, Directory: a.Directory, Challenge: a.Challenge, Roots: roots, Door: door.String()},
		acme.Deps{Storage: s, Check: certConfig(n.file).CheckIssued, Show: n.certAdmin().show, Seen: n.seenByServers, Log: log})
	return m, acme.NewAnswerer(s), nil
}

// authorized returns the names that the file's authority gives certificates for,
// the domain first. Those of the gateways can be had by DNS-01 alone: an authority
// that asks by HTTP or TLS asks the gateways themselves, and for a wildcard not
// at all. A wildcard holds for regions that are yet to come.
func authorized(f *config.File) []string {
	names := []string{f.Domain}
	if a := f.ACME(); a != nil && a.Challenge == acme.DNS01 {
		names = append(names, gateways+f.Domain, "*."+gateways+f.Domain)
	}
	return names
}

// rootsOf reads a PEM file with roots; "" are the machine's own.
func rootsOf(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificates: acme: ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificates: acme: ca: %s: found no certificate, want a PEM block CERTIFICATE", path)
	}
	return pool, nil
}

// show gives all nodes a certificate that an authority issued.
func (a certAdmin) show(ctx context.Context, name string, chain, key []byte) error {
	b := cert.Bundle{Name: name, Source: cert.SourceACME, Chain: chain, Key: key, Added: a.now().UTC()}
	cfg := certConfig(a.file)
	cfg.Now = a.now
	if _, err := cfg.Check(b); err != nil {
		return err
	}
	if e, ok := a.store.View().Get(certKey(b.Source, name)); ok && a.same(e, b) {
		return nil
	}
	return a.put(ctx, b)
}

// same reports whether a stored entry is a bundle's.
func (a certAdmin) same(e store.Entry, b cert.Bundle) bool {
	ring, err := a.ring()
	if err != nil {
		return false
	}
	was, _, err := cert.Decode(ring, b.Name, e.Key, e.Value)
	return err == nil && string(was.Chain) == string(b.Chain) && string(was.Key) == string(b.Key)
}

// issuePatience bounds how long an operator waits for a certificate.
const issuePatience = 80 * time.Second

// Issue gets a new certificate for a name from the file's authority.
func (a certAdmin) Issue(ctx context.Context, name string) error {
	switch {
	case a.file.ACME() == nil:
		return meridian.WithKind(meridian.Invalid, errors.New("the file names no authority; expected certificates: [{acme: {}}]"))
	case !slices.Contains(authorized(a.file), name):
		return meridian.WithKind(meridian.NotFound, fmt.Errorf("%q is no name that the file's authority gives certificates for; expected %s", name, strings.Join(authorized(a.file), " or ")))
	}
	ctx, cancel := context.WithTimeout(ctx, issuePatience)
	defer cancel()
	return acme.Order(ctx, a.keep, name, rand.Text())
}

// seenByServers returns once every name server that answers shows a TXT record.
func (n *node) seenByServers(ctx context.Context, name, text string) error {
	var servers []string
	for _, o := range n.world().Nodes {
		if o.Has(config.RoleControl) {
			servers = append(servers, netip.AddrPortFrom(o.Address, o.Ports.DNS).String())
		}
	}
	return seenBy(ctx, servers, name, text)
}

// How long name servers are asked, and how often.
const (
	seenPatience = 15 * time.Second
	seenPause    = 50 * time.Millisecond
)

// seenBy asks name servers until all that answer show a TXT record. One that does
// not answer is the authority's to pass over, too.
func seenBy(ctx context.Context, servers []string, name, text string) error {
	ctx, cancel := context.WithTimeout(ctx, seenPatience)
	defer cancel()
	for {
		answer, show := 0, 0
		for _, s := range servers {
			if ok, err := showsText(ctx, s, name, text); err == nil {
				if answer++; ok {
					show++
				}
			}
		}
		if show > 0 && show == answer {
			return nil
		}
		select {
		case <-ctx.Done():
			return meridian.WithKind(meridian.Timeout, fmt.Errorf("%d of %d name servers show the TXT record of %s", show, len(servers), name))
		case <-time.After(seenPause):
		}
	}
}

// showsText asks one name server.
func showsText(ctx context.Context, server, name, text string) (bool, error) {
	c := dns.Client{Net: "tcp", Timeout: time.Second}
	in, _, err := c.ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT), server)
	if err != nil {
		return false, err
	}
	for _, rr := range in.Answer {
		if t, ok := rr.(*dns.TXT); ok && slices.Contains(t.Txt, text) {
			return true, nil
		}
	}
	return false, nil
}

// addAuthority adds this edge's part in getting certificates, after the edge that
// answers for it.
func addAuthority(g *lifecycle.Group, m *acme.Manager) {
	if m != nil {
		g.Add("certificate authority", m.Run)
	}
}
