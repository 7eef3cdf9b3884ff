package edge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/edge/cert"
	"meridian/edge/origin"
	"meridian/topology"
)

const domain = "api.example.test"

// A region is a real HTTP/2 server on a loopback socket that stands for the
// gateway of a region.
type region struct {
	name  meridian.Region
	rtt   time.Duration
	serve http.HandlerFunc

	mu       sync.Mutex // guards what follows
	listener net.Listener
	server   *http.Server
	dead     *atomic.Bool // the server begins nothing any more
	conns    []net.Conn
}

// start makes the region listen where it did before, or anywhere.
func (g *region) start(t testing.TB) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	at := "127.0.0.1:0"
	if g.listener != nil {
		at = g.listener.Addr().String()
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	dead := new(atomic.Bool)
	g.listener, g.dead = l, dead
	g.server = &http.Server{
		Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if dead.Load() {
				<-r.Context().Done()
				return
			}
			g.serve(w, r)
		}),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.conns = append(g.conns, c)
			}
		},
	}
	go g.server.Serve(l)
}

// kill ends the region as SIGKILL does: it begins nothing any more, and its
// sockets break, one after the other.
func (g *region) kill() {
	g.mu.Lock()
	server, listener := g.server, g.listener
	g.dead.Store(true)
	g.mu.Unlock()
	listener.Close()
	g.reset()
	server.Close() // waits for ConnState, which takes mu
	g.reset()
}

func (g *region) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
	g.conns = nil
}

// drain ends the region as SIGTERM does: it says GOAWAY, and finishes.
func (g *region) drain() {
	g.mu.Lock()
	server := g.server
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close() // net/http misses a connection that was accepted just then
	}
}

func (g *region) addr() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listener.Addr().String()
}

// A world is an edge, its regions and a client.
type world struct {
	*Edge
	t       testing.TB
	regions map[meridian.Region]*region
	roots   *x509.CertPool
	h1, h2  *http.Client
	url     string // of the HTTPS door
	plain   string // of the HTTP door
	log     *syncBuffer
	stop    func()
}

type option func(*Config, *Deps, *world)

// newWorld starts an edge at eu-west-1 and the given regions, and waits until
// they are connected.
func newWorld(t testing.TB, regions []*region, opts ...option) *world {
	t.Helper()
	w := &world{t: t, regions: map[meridian.Region]*region{}, log: &syncBuffer{}}
	m := &topology.Map{}
	m.Publish(draw(regions))
	for _, g := range regions {
		g.start(t)
		t.Cleanup(g.kill)
		w.regions[g.name] = g
	}
	leaf, roots := certificate(t, domain)
	w.roots = roots
	store := cert.New(cert.Config{Domains: []string{domain}, Roots: roots})
	if err := store.Use(leaf); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Place: "eu-west-1", Node: "eu-west-1/edge", Domain: domain, HTTPS: "127.0.0.1:0", HTTP: "127.0.0.1:0"}
	deps := Deps{Map: m, Certs: store, Dial: w.dial, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, o := range opts {
		o(&cfg, &deps, w)
	}
	e, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	w.Edge = e
	w.run()
	for _, g := range regions {
		w.until("connected to "+string(g.name), func() bool { s, _ := e.origin.State(g.name); return s == origin.Ready })
	}
	return w
}

// lost waits until the edge has noticed that a region's connections broke. A
// write that comes sooner may have been sent.
func (w *world) lost(g *region) {
	w.t.Helper()
	w.until("rid of "+string(g.name), func() bool { s, _ := w.origin.State(g.name); return s != origin.Ready })
}

// draw makes the map of healthy regions, the first of which is the primary.
func draw(regions []*region) *topology.Snapshot {
	s := &topology.Snapshot{Domain: domain}
	for i, g := range regions {
		s.Regions = append(s.Regions, topology.Region{Name: g.name, Healthy: true, Primary: i == 0})
		s.Links = append(s.Links, topology.Link{From: "eu-west-1", To: g.name, RTT: g.rtt, Measured: true})
	}
	return s
}

func (w *world) dial(ctx context.Context, name meridian.Region) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", w.regions[name].addr())
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- w.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		w.t.Fatal(err)
	}
	w.clients()
	w.stop = sync.OnceFunc(func() {
		w.h1.CloseIdleConnections()
		w.h2.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run returned %v", err)
		}
	})
	w.t.Cleanup(w.stop)
}

func (w *world) clients() {
	https, plain := w.Addrs()
	w.url, w.plain = "https://"+domain, "http://"+plain.String()
	client := func(h2 bool) *http.Client {
		tr := &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", https.String())
			},
			TLSClientConfig:   &tls.Config{RootCAs: w.roots},
			ForceAttemptHTTP2: h2, DisableCompression: true,
		}
		return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	w.h1, w.h2 = client(false), client(true)
}

// until waits for a condition that others bring about.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			w.t.Fatalf("not %s within 10 s\n%s", what, w.log)
		}
	}
}

// An answered request.
type got struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
}

// do sends a request over HTTP/2 and reads the whole answer.
func (w *world) do(method, path, body string, header ...string) got {
	w.t.Helper()
	g, err := w.try(w.h2, method, path, body, header...)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", method, path, err, w.log)
	}
	return g
}

func (w *world) try(c *http.Client, method, path, body string, header ...string) (got, error) {
	req, err := http.NewRequest(method, w.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return got{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, resp.Trailer, string(text)}, err
}

// raw sends bytes over TLS without a client's opinion on them, and returns all
// that comes back until the edge closes.
func (w *world) raw(text string) string {
	w.t.Helper()
	https, _ := w.Addrs()
	c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		w.t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil && len(out) == 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
		w.t.Fatalf("%v after %q", err, out)
	}
	return string(out)
}

// certificate makes a certificate for names, of a CA of its own.
func certificate(t testing.TB, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(c, parent *x509.Certificate, public any, by *ecdsa.PrivateKey) *x509.Certificate {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	caKey, leafKey := key(), key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = sign(ca, ca, caKey.Public(), caKey)
	leaf := sign(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, leafKey.Public(), caKey)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}, roots
}

// A syncBuffer is a log that a test may read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
