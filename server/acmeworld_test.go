package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/dns"
	"meridian/edge"
	"meridian/edge/cert/acme"
	"meridian/internal/keyring"
	"meridian/topology"
)

// memoryKeeper is a node's end of the store of a test, as ACME sees it.
type memoryKeeper struct{ *ledgerEnd }

func (k memoryKeeper) Get(key string) (value []byte, rev int64, ok bool) {
	e, ok := k.View().Get(key)
	return e.Value, e.Rev, ok
}

func (k memoryKeeper) Keys(prefix string) (keys []string) {
	for _, e := range k.View().Prefix(prefix) {
		keys = append(keys, e.Key)
	}
	return keys
}

// A door is one edge of a test, with its part in ACME.
type acmeEdge struct {
	*edge.Edge
	shelf   *shelf
	storage *acme.Storage
}

// An acmeWorld is two edges, a name server and an authority.
type acmeWorld struct {
	*certWorld
	t         *testing.T
	a, b      *acmeEdge
	dns       *dns.Server
	orders    atomic.Int64 // that the authority finalized
	directory string
	roots     *x509.CertPool
	urged     bool         // the authority wants certificates renewed at once
	most      int64        // until it has issued that many
	urges     atomic.Bool  // it says so now
	answers   atomic.Value // of func(name string) []string: what the name server has
	pebble    atomic.Pointer[pebble]
	replaced  atomic.Int64  // orders that said what they replace
	refuses   atomic.Bool   // the authority refuses orders that replace a certificate
	fault     atomic.Value  // of func(rw, r) bool: what stands before the authority has answered
	life      time.Duration // of what it issues; 0 is pebble's default
	strict    bool
	roots2    int // alternate roots that it has
	chain     int // certificates above a leaf's, but for the root; 0 is 1
	open      func() *pebble
}

// A pebble is an authority with its memory.
type pebble struct {
	http.Handler
	memory *db.MemoryStore
}

// newACMEWorld starts all but managers. With deaf edges and name servers nobody
// answers validations.
func newACMEWorld(t *testing.T, challenge string, deaf bool) *acmeWorld {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "5") // percent of good nonces that are refused; three in a row fail an order, which waits a minute
	t.Setenv("PEBBLE_AUTHZREUSE", "50")     // percent of good authorizations that are used again
	w := &acmeWorld{certWorld: newCertWorld(t, ringOf(t, keyring.NewLine())), t: t, most: 2, strict: true}
	w.fault.Store(func(http.ResponseWriter, *http.Request) bool { return false })
	w.file = &config.File{Domain: certDomain, Certificates: []config.Certificate{{ACME: &config.ACME{Challenge: challenge}}}}
	w.keep = memoryKeeper{w.end()}
	var atlas topology.Map
	w.a, w.b = w.edge("a", &atlas, deaf), w.edge("b", &atlas, deaf)
	atlas.Publish(&topology.Snapshot{Domain: certDomain, Edges: []topology.Edge{{Name: "a", Healthy: true, HTTPS: netip.MustParseAddrPort("127.0.0.1:1")}}})
	w.answers.Store(func(name string) []string { return acme.Texts(w.keep, name) })
	if deaf {
		w.answers.Store(func(string) []string { return nil })
	}
	texts := func(name string) []string { return w.answers.Load().(func(string) []string)(name) }
	zone, err := dns.New(dns.Config{Domain: certDomain, Listen: []string{"127.0.0.1:0"}}, dns.Deps{Map: &atlas, Texts: texts})
	if err != nil {
		t.Fatal(err)
	}
	w.dns = zone
	w.run(zone.Run)
	w.authority()
	return w
}

func (w *certWorld) end() *ledgerEnd { return &ledgerEnd{memoryLedger: w.ledger} }

// run runs a part of the world until the test's end.
func (w *acmeWorld) run(part func(context.Context, func()) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- part(ctx, sync.OnceFunc(func() { close(ready) })) }() // awaited at the test's end
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		w.t.Fatal(err)
	}
}

func (w *acmeWorld) edge(name meridian.Region, atlas *topology.Map, deaf bool) *acmeEdge {
	w.t.Helper()
	e := &acmeEdge{shelf: w.newShelf(w.ring), storage: acme.NewStorage(memoryKeeper{w.end()}, w.ring, string(name), slog.New(slog.DiscardHandler))}
	deps := edge.Deps{Map: atlas, Certs: e.shelf.certs, Challenges: acme.NewAnswerer(e.storage), Dial: func(context.Context, meridian.Region) (net.Conn, error) { return nil, errors.New("there is no region") }}
	if deaf {
		deps.Challenges = nil
	}
	door, err := edge.New(edge.Config{Place: name, Domain: certDomain, HTTPS: "127.0.0.1:0", HTTP: "127.0.0.1:0"}, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	e.Edge = door
	w.run(door.Run)
	w.run(e.shelf.run)
	return e
}

// authority starts pebble. It asks our name server, and then edge b alone.
func (w *acmeWorld) authority() {
	quiet := log.New(io.Discard, "", 0)
	https, plain := w.b.Addrs()
	w.open = func() *pebble {
		memory := db.NewMemoryStore()
		issuer := ca.New(quiet, memory, "", "ecdsa", w.roots2, max(w.chain, 1), map[string]ca.Profile{"default": {Description: "all", ValidityPeriod: uint64(w.life / time.Second)}})
		prober := va.New(quiet, plain.(*net.TCPAddr).Port, https.(*net.TCPAddr).Port, w.strict, w.dns.Addrs()[0].String(), memory)
		front := wfe.New(quiet, memory, prober, issuer, []string{"ca.example.test"}, w.strict, false, 0, 0)
		return &pebble{front.Handler(), memory}
	}
	w.forget()
	web := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.fault.Load().(func(http.ResponseWriter, *http.Request) bool)(rw, r) {
			return
		}
		handler, memory := w.pebble.Load(), w.pebble.Load().memory
		if r.URL.Path == newOrder {
			old := replaces(r)
			if old != "" {
				w.replaced.Add(1)
			}
			if knows(memory, old); old != "" && w.refuses.Load() {
				rw.Header().Set("Content-Type", "application/problem+json")
				rw.WriteHeader(http.StatusForbidden)
				io.WriteString(rw, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"that is another account's certificate"}`)
				return
			}
		}
		if strings.Contains(r.URL.Path, "/renewalInfo/") && w.urges.Load() && knows(memory, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Write([]byte(`{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"}}`))
			return
		}
		answer := &statusOf{ResponseWriter: rw}
		if handler.ServeHTTP(answer, r); strings.HasPrefix(r.URL.Path, "/finalize-order") && answer.status == http.StatusOK {
			w.orders.Add(1) // what was refused for its nonce is none
			w.urges.Store(w.urged && w.orders.Load() < w.most)
		}
	}))
	w.t.Cleanup(web.Close)
	w.directory, w.roots = web.URL+"/dir", x509.NewCertPool()
	w.roots.AddCert(web.Certificate())
}

// forget starts the authority anew: it knows no account, order or certificate.
func (w *acmeWorld) forget() { w.pebble.Store(w.open()) }

// statusOf notes what was answered.
type statusOf struct {
	http.ResponseWriter
	status int
}

func (w *statusOf) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusOf) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// manager returns an edge's manager.
func (w *acmeWorld) manager(e *acmeEdge, challenge string) *acme.Manager {
	https, plain := e.Addrs()
	door := https
	if challenge == acme.HTTP01 {
		door = plain
	}
	return acme.New(
		acme.Config{Names: []string{certDomain}, Email: "admin@example.test", Directory: w.directory, Challenge: challenge, Roots: w.roots, Door: door.String()},
		acme.Deps{Storage: e.storage, Check: certConfig(w.file).CheckIssued, Show: w.show, Log: slog.New(slog.DiscardHandler),
			Seen: func(ctx context.Context, name, text string) error {
				return seenBy(ctx, []string{w.dns.Addrs()[0].String()}, name, text)
			}})
}

// shown waits until both edges show a certificate that is not the old one, and
// returns its serial number.
func (w *acmeWorld) shown(old string) string {
	w.t.Helper()
	serial := ""
	for _, e := range []*acmeEdge{w.a, w.b} {
		for {
			watch := e.shelf.store.Watch()
			https, _ := e.Addrs()
			c, err := tls.Dial("tcp", https.String(), &tls.Config{ServerName: certDomain, InsecureSkipVerify: true})
			if err == nil {
				leaf := c.ConnectionState().PeerCertificates[0]
				c.Close()
				if serial = leaf.SerialNumber.Text(16); serial != old && strings.HasPrefix(leaf.Issuer.CommonName, "Pebble") {
					break
				}
			}
			select {
			case <-watch:
			case <-time.After(10 * time.Millisecond):
			case <-w.t.Context().Done():
				w.t.Fatal("no new certificate is shown")
			}
		}
	}
	return serial
}

// shownFor waits until both edges show who asks for a name a certificate of the
// authority for want that is not the old one.
func (w *acmeWorld) shownFor(name, want, old string) (serial string) {
	w.t.Helper()
	for _, e := range []*acmeEdge{w.a, w.b} {
		for {
			watch := e.shelf.store.Watch()
			c, err := e.shelf.certs.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
			if err == nil && c.Leaf.DNSNames[0] == want && strings.HasPrefix(c.Leaf.Issuer.CommonName, "Pebble") {
				if serial = c.Leaf.SerialNumber.Text(16); serial != old {
					break
				}
			}
			select {
			case <-watch:
			case <-time.After(10 * time.Millisecond):
			case <-w.t.Context().Done():
				w.t.Fatalf("no new certificate for %s is shown to who asks for %q", want, name)
			}
		}
	}
	return serial
}

// order orders a certificate. The authority shows the first before its own list
// of what can be replaced has it; until then it refuses.
func (w *acmeWorld) order() (err error) {
	for range 20 {
		if err = w.Issue(w.t.Context(), certDomain); err == nil || !strings.Contains(err.Error(), "could not find an order") {
			break
		}
	}
	return err
}

// failed waits until the domain's certificate is listed with an error.
func (w *acmeWorld) failed() client.Certificate {
	w.t.Helper()
	for {
		watch := w.keep.Watch()
		if l := w.List()[0]; l.Error != "" {
			return l
		}
		select {
		case <-watch:
		case <-w.t.Context().Done():
			w.t.Fatal("no failure is seen")
		}
	}
}

// planned waits until it is known when the domain's certificate is renewed.
func (w *acmeWorld) planned() client.Certificate {
	w.t.Helper()
	for {
		watch := w.keep.Watch()
		if l := w.List()[0]; !l.Next.IsZero() {
			return l
		}
		select {
		case <-watch:
		case <-w.t.Context().Done():
			w.t.Fatal("nobody plans a renewal")
		}
	}
}
