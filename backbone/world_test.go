package backbone

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian"
	"meridian/internal/pki"
)

// A world is a few backbones on loopback, with the services "echo" on each.
type world struct {
	t     testing.TB
	dir   string
	links *Links
	nodes map[string]*node
}

// A node is a running backbone.
type node struct {
	*Backbone
	addr string
	stop func()
}

// place is where a test's node stands: its name up to the slash.
func place(node string) meridian.Region {
	p, _, _ := strings.Cut(node, "/")
	return meridian.Region(p)
}

// newWorld runs nodes whose places are rtt apart.
func newWorld(t testing.TB, rtt time.Duration, names ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), nodes: map[string]*node{}}
	w.links = NewLinks(place, func(a, b meridian.Region) (p50, p90 time.Duration) { return rtt, rtt })
	if _, err := pki.Create(w.dir, names...); err != nil {
		t.Fatal(err)
	}
	lns := map[string]net.Listener{}
	var peers []Peer
	for _, n := range names {
		lns[n] = listen(t, "127.0.0.1:0")
		peers = append(peers, Peer{Node: n, Place: place(n), Addr: lns[n].Addr().String()})
	}
	for _, n := range names {
		w.start(n, lns[n], peers)
	}
	return w
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// start runs one node.
func (w *world) start(name string, ln net.Listener, peers []Peer) {
	w.t.Helper()
	cert, roots, err := pki.LoadNode(w.dir, name)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := New(Config{Node: name, Place: place(name), Listen: "127.0.0.1:0"}, Deps{
		Cert: cert, Roots: roots, Peers: peers, Links: w.links, Listener: ln, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{Backbone: b, addr: ln.Addr().String()}
	n.stop = run(w.t, b)
	w.nodes[name] = n
}

// run runs a backbone with an echo service until the returned function, or the
// end of the test, stops it.
func run(t testing.TB, b *Backbone) (stop func()) {
	t.Helper()
	echo := b.Listener("echo")
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Run(ctx, func() { close(ready) }) }()
	go serveEcho(echo)
	<-ready
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// serveEcho answers each connection with the name of its peer and a colon,
// and then with what it sends.
func serveEcho(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.WriteString(c, NodeOf(c)+":")
			io.Copy(c, c)
		}()
	}
}

// say writes to an echo and reads what comes back, without the peer's name.
func say(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// hear reads n bytes.
func hear(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type opener func(ctx context.Context, node, service string) (net.Conn, error)
