package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/edge/cert/acme"
	"meridian/internal/keyring"
)

// TestAnAuthorityIssuesForAllEdges gets a certificate by each challenge, from an
// authority that refuses nonces at random and asks an edge that made no order.
func TestAnAuthorityIssuesForAllEdges(t *testing.T) {
	for _, challenge := range []string{acme.DNS01, acme.HTTP01, acme.TLSALPN01} {
		t.Run(challenge, func(t *testing.T) {
			w := newACMEWorld(t, challenge, false)
			w.run(w.manager(w.a, challenge).Run)
			first := w.shown("")
			w.run(w.manager(w.b, challenge).Run)
			if l := w.List(); len(l) != len(authorized(w.file)) || l[0].Source != "acme" || l[0].Error != "" || l[0].Names[0] != certDomain {
				t.Errorf("the operator sees %+v", l)
			}
			if err := w.order(); err != nil {
				t.Fatal(err)
			}
			w.shown(first)
			if n := w.orders.Load(); n != 2 {
				t.Errorf("%d certificates were issued, want 2 for two edges: the first, and what the operator ordered", n)
			}
			if w.replaced.Load() == 0 {
				t.Error("the second order does not say what it replaces (RFC 9773, section 5)")
			}
			for key, e := range w.ledger.entries {
				if strings.HasPrefix(key, "acme/") && (strings.Contains(string(e.Value), "PRIVATE KEY") || strings.Contains(string(e.Value), "admin@")) {
					t.Errorf("%s is in the store in clear", key)
				}
			}
		})
	}
}

// TestTheGatewaysNamesAreIssuedToo gets certificates for the domain and for the names
// of its gateways, each shown to who asks for that name, and renews them all when
// the authority says so. Who names nothing is shown the domain's. By a challenge
// that gateways cannot answer only the domain's is asked for.
func TestTheGatewaysNamesAreIssuedToo(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	w.urged, w.most = true, 1000
	m := acme.New(
		acme.Config{Names: authorized(w.file), Email: "admin@example.test", Directory: w.directory, Challenge: acme.DNS01, Roots: w.roots, Check: 20 * time.Millisecond},
		acme.Deps{Storage: w.a.storage, Show: w.show, Log: slog.New(slog.DiscardHandler),
			Seen: func(ctx context.Context, name, text string) error {
				return seenBy(ctx, []string{w.dns.Addrs()[0].String()}, name, text)
			}})
	w.run(m.Run)
	asked := map[string]string{certDomain: certDomain, "origin." + certDomain: "origin." + certDomain, "eu-west-1.origin." + certDomain: "*.origin." + certDomain, "": certDomain}
	first := map[string]string{}
	for name, want := range asked {
		first[name] = w.shownFor(name, want, "")
	}
	for name, want := range asked {
		w.shownFor(name, want, first[name])
	}
	if l := w.List(); len(l) != 3 || slices.ContainsFunc(l, func(c client.Certificate) bool { return c.Error != "" || len(c.Names) != 1 || c.Names[0] != c.Name }) {
		t.Errorf("the operator sees %+v", l)
	}
	other := *w.file
	other.Certificates = []config.Certificate{{ACME: &config.ACME{Challenge: acme.HTTP01}}}
	if got := authorized(&other); len(got) != 1 {
		t.Errorf("by HTTP-01 certificates are asked for %v", got)
	}
}

func TestWhatCoversADomain(t *testing.T) {
	for _, tt := range []struct {
		names string
		want  bool
	}{{"api.example.test", true}, {"API.example.test", true}, {"*.example.test", true}, {"*.api.example.test", false}, {"origin.api.example.test", false}, {"*.origin.api.example.test", false}, {"", false}} {
		if got := covers(strings.Fields(tt.names), certDomain); got != tt.want {
			t.Errorf("%q: %v", tt.names, got)
		}
	}
}

// TestAFailedOrderIsShown has nobody answer the validation: the control of the
// test above.
func TestAFailedOrderIsShown(t *testing.T) {
	for _, challenge := range []string{acme.HTTP01, acme.TLSALPN01} {
		t.Run(challenge, func(t *testing.T) {
			w := newACMEWorld(t, challenge, true)
			w.run(w.manager(w.a, challenge).Run)
			for {
				watch := w.keep.Watch()
				if l := w.List(); len(l) == 1 && l[0].Error != "" {
					if !strings.Contains(l[0].Error, "unauthorized") && !strings.Contains(l[0].Error, "connection") {
						t.Errorf("the operator sees %+v", l)
					}
					break
				}
				<-watch
			}
			if w.orders.Load() != 0 {
				t.Error("a certificate was issued, and nobody answered")
			}
		})
	}
}

func TestOnlyTheFilesDomainIsIssued(t *testing.T) {
	w := newCertWorld(t, ringOf(t, keyring.NewLine()))
	if err := w.Issue(t.Context(), certDomain); meridian.KindOf(err) != meridian.Invalid {
		t.Error(err)
	}
	w.file = &config.File{Domain: certDomain, Certificates: []config.Certificate{{ACME: &config.ACME{}}}}
	if err := w.Issue(t.Context(), "www.example.test"); meridian.KindOf(err) != meridian.NotFound {
		t.Error(err)
	}
}

// TestNobodyAnswersForAnother asks for validations that are not pending.
func TestNobodyAnswersForAnother(t *testing.T) {
	w := newCertWorld(t, ringOf(t, keyring.NewLine()))
	s := acme.NewStorage(memoryKeeper{w.end()}, w.ring, "a", slog.New(slog.DiscardHandler))
	a := acme.NewAnswerer(s)
	chal := `{"type":"http-01","token":"abc","keyAuthorization":"abc.def","identifier":{"type":"dns","value":"api.example.test"}}`
	if err := s.Store(t.Context(), "acme/ca/challenge_tokens/api.example.test.json", []byte(chal)); err != nil {
		t.Fatal(err)
	}
	const at = "/.well-known/acme-challenge/"
	for _, x := range [][2]string{{certDomain, at}, {certDomain, at + "abd"}, {"www.example.test", at + "abc"}, {certDomain, at + "abc/"}, {certDomain, at + "../abc"}, {certDomain, "/abc"}, {"../" + certDomain, at + "abc"}} {
		if body, ok := a.HTTP(t.Context(), x[0], x[1]); ok {
			t.Errorf("%v is answered %q", x, body)
		}
	}
	if body, ok := a.HTTP(t.Context(), "API.example.test", at+"abc"); !ok || body != "abc.def" { // the control
		t.Errorf("%q, %v", body, ok)
	}
	if _, ok, err := a.TLS(&tls.ClientHelloInfo{ServerName: certDomain, SupportedProtos: []string{"acme-tls/1"}}); !ok || err == nil {
		t.Errorf("a handshake for another challenge: %v, %v", ok, err)
	}
	if _, ok, err := a.TLS(&tls.ClientHelloInfo{ServerName: certDomain, SupportedProtos: []string{"h2", "acme-tls/1"}}); ok || err != nil {
		t.Errorf("an ordinary handshake: %v, %v", ok, err)
	}
}

// TestAnOrderIsTriedAtOnceAfterAFailure mends the reason, and orders: nobody waits
// for the pause between tries.
func TestAnOrderIsTriedAtOnceAfterAFailure(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, true)
	var mended atomic.Bool
	w.answers.Store(func(name string) []string {
		if !mended.Load() {
			return nil
		}
		return acme.Texts(w.keep, name)
	})
	m := acme.New(
		acme.Config{Names: []string{certDomain}, Directory: w.directory, Challenge: acme.DNS01, Roots: w.roots},
		acme.Deps{Storage: w.a.storage, Show: w.show, Log: slog.New(slog.DiscardHandler)})
	w.run(m.Run)
	for {
		watch := w.keep.Watch()
		if l := w.List(); l[0].Error != "" {
			if !l[0].Next.After(time.Now()) {
				t.Errorf("the next try is at %v", l[0].Next)
			}
			break
		}
		<-watch
	}
	if err := w.Issue(t.Context(), certDomain); err == nil || !strings.Contains(err.Error(), "TXT") { // the control: nothing is mended
		t.Errorf("an order that cannot be fulfilled: %v", err)
	}
	mended.Store(true)
	if err := w.Issue(t.Context(), certDomain); err != nil {
		t.Fatal(err)
	}
	w.shown("")
	if l := w.planned(); l.Error != "" || l.Next.Before(l.NotBefore.Add(24*time.Hour)) {
		t.Errorf("the operator still sees %+v", l)
	}
}

// TestACertificateIsRenewedWhenTheAuthoritySays has the authority name a time for
// the renewal of its first certificate that is over (RFC 9773), and of no other. The
// control is TestAnAuthorityIssuesForAllEdges: an authority that names a time to
// come is not asked for another certificate.
func TestACertificateIsRenewedWhenTheAuthoritySays(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	w.urged = true
	m := acme.New(
		acme.Config{Names: []string{certDomain}, Email: "admin@example.test", Directory: w.directory, Challenge: acme.DNS01, Roots: w.roots, Check: 20 * time.Millisecond},
		acme.Deps{Storage: w.a.storage, Show: w.show, Log: slog.New(slog.DiscardHandler)})
	w.run(m.Run)
	for {
		watch := w.keep.Watch()
		if w.orders.Load() == 2 {
			break
		}
		select {
		case <-watch:
		case <-time.After(10 * time.Millisecond): // nothing is stored when an order is finalized
		case <-t.Context().Done():
			t.Fatal("no second order is finalized")
		}
	}
	w.shown("")
}
