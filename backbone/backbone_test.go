package backbone

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
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

func TestBothEndsKnowEachOther(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra/edge")
	for name, open := range map[string]opener{"Dial": w.nodes["fra/edge"].Dial, "Open": w.nodes["fra/edge"].Open} {
		c, err := open(t.Context(), "gru", "echo")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := hear(t, c, 9); got != "fra/edge:" {
			t.Errorf("%s: accepted from %q", name, got)
		}
		if got := say(t, c, "hello"); got != "hello" {
			t.Errorf("%s: echo = %q", name, got)
		}
		if NodeOf(c) != "gru" {
			t.Errorf("%s: NodeOf = %q", name, NodeOf(c))
		}
		c.Close()
	}
}

func TestUnknownServiceIsRefused(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	for name, open := range map[string]opener{"Dial": w.nodes["fra"].Dial, "Open": w.nodes["fra"].Open} {
		_, err := open(t.Context(), "gru", "shell")
		if meridian.KindOf(err) != meridian.Unavailable || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%s = %v", name, err)
		}
	}
}

func TestUnknownNodeIsNotFound(t *testing.T) {
	w := newWorld(t, 0, "gru")
	if _, err := w.nodes["gru"].Open(t.Context(), "mars", "echo"); meridian.KindOf(err) != meridian.NotFound {
		t.Errorf("Open = %v", err)
	}
}

// strangers are TLS configurations that must get nowhere, and one that must
// not be refused: the control that shows the others are refused for what they
// lack.
func TestStrangersAreRefused(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	if _, err := pki.Create(w.dir+"/other", "fra"); err != nil {
		t.Fatal(err)
	}
	ours, _, err := pki.LoadNode(w.dir, "fra")
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, err := pki.LoadNode(w.dir+"/other", "fra")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Create(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, err := ca.IssueServer("api.example.test")
	if err != nil {
		t.Fatal(err)
	}
	public, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		config  *tls.Config
		refused bool
	}{
		{"a node of ours", &tls.Config{Certificates: []tls.Certificate{ours}, NextProtos: []string{alpn("echo")}}, false},
		{"a node of another authority", &tls.Config{Certificates: []tls.Certificate{theirs}, NextProtos: []string{alpn("echo")}}, true},
		{"a server certificate of ours", &tls.Config{Certificates: []tls.Certificate{public}, NextProtos: []string{alpn("echo")}}, true},
		{"no certificate", &tls.Config{NextProtos: []string{alpn("echo")}}, true},
		{"no service", &tls.Config{Certificates: []tls.Certificate{ours}}, true},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{ours}, NextProtos: []string{alpn("echo")}, MaxVersion: tls.VersionTLS12}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.InsecureSkipVerify = true
			got, err := greeting(w.nodes["gru"].addr, tt.config)
			if refused := err != nil; refused != tt.refused {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// greeting returns the first bytes that the echo service of a node sends.
func greeting(addr string, config *tls.Config) (string, error) {
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b := make([]byte, 4)
	_, err = io.ReadFull(c, b)
	return string(b), err
}

func TestNodeThatIsSomebodyElseIsRefused(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	p := w.nodes["fra"].peers["gru"]
	p.Node = "iad" // the address of gru under the name of another
	w.nodes["fra"].peers["iad"] = p
	_, err := w.nodes["fra"].Dial(t.Context(), "iad", "echo")
	if err == nil || !strings.Contains(err.Error(), "the certificate is that of node gru") {
		t.Errorf("Dial = %v", err)
	}
}

func TestDownNodeFailsFastAndSaysHow(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	w.nodes["gru"].stop()
	start := time.Now()
	_, err := w.nodes["fra"].Open(t.Context(), "gru", "echo")
	want := "open echo to gru: dial " + w.nodes["gru"].addr + ": connection refused"
	if meridian.KindOf(err) != meridian.Unavailable || err.Error() != want {
		t.Errorf("Open = %v (%s), want %q", err, meridian.KindOf(err), want)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestLinkComesBackByItself(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	fra := w.nodes["fra"]
	old, err := fra.Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, old, 4)
	w.nodes["gru"].stop()
	if _, err := old.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read on a lost link = %v, want an error that is not the end", err)
	}
	if _, err := fra.Open(t.Context(), "gru", "echo"); err == nil {
		t.Fatal("Open to a node that is down succeeded")
	}
	peers := []Peer{fra.peers["gru"]}
	w.start("gru", listen(t, peers[0].Addr), peers)
	c, err := openWithin(fra.Open, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := hear(t, c, 4); got != "fra:" {
		t.Errorf("greeting = %q", got)
	}
}

// TestCallsGoToTheNextProcessOnceThisOneYields, and what was dialed goes on here.
// Control, in the same test: before, they come here.
func TestCallsGoToTheNextProcessOnceThisOneYields(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	fra, gru := w.nodes["fra"], w.nodes["gru"]
	dialed, err := fra.Dial(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	hear(t, dialed, 4)
	link, err := fra.Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, link, 4)
	if got := say(t, link, "here"); got != "here" {
		t.Errorf("before: %q", got)
	}
	gru.Yield()
	if _, err := link.Read(make([]byte, 1)); err == nil {
		t.Error("a link of another node goes on")
	}
	peers := []Peer{fra.peers["gru"]}
	var next net.Listener
	for next == nil { // the port becomes free in a moment
		next, _ = net.Listen("tcp", peers[0].Addr)
	}
	w.start("gru", next, peers)
	c, err := openWithin(fra.Open, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := hear(t, c, 4); got != "fra:" {
		t.Errorf("the next process says %q", got)
	}
	if got := say(t, dialed, "still"); got != "still" {
		t.Errorf("what was dialed: %q", got)
	}
}

// openWithin opens echo of gru as soon as that works.
func openWithin(open opener, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		c, err := open(ctx, "gru", "echo")
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// A read that gave up may be tried again, on connections of either kind.
func TestDeadlinePassesAndConnectionLives(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	for name, open := range map[string]opener{"Dial": w.nodes["fra"].Dial, "Open": w.nodes["fra"].Open} {
		c, err := open(t.Context(), "gru", "echo")
		if err != nil {
			t.Fatal(err)
		}
		hear(t, c, 4)
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: Read = %v", name, err)
		}
		c.SetReadDeadline(time.Time{})
		if got := say(t, c, "still here"); got != "still here" {
			t.Errorf("%s: echo = %q", name, got)
		}
		c.Close()
	}
}

// Open may come before Run: a node's parts start in any order.
func TestOpenWaitsForRun(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	early, err := New(w.nodes["fra"].cfg, w.nodes["fra"].deps)
	if err != nil {
		t.Fatal(err)
	}
	early.deps.Listener = listen(t, "127.0.0.1:0")
	opened := make(chan error)
	go func() {
		c, err := early.Open(t.Context(), "gru", "echo")
		if err == nil {
			c.Close()
		}
		opened <- err
	}()
	run(t, early)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// TestRunLeavesNothingBehind looks for goroutines of the backbone once its
// nodes were stopped, in the middle of everything.
func TestRunLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, 20*time.Millisecond, "gru", "fra")
	for _, open := range []opener{w.nodes["fra"].Dial, w.nodes["fra"].Open, w.nodes["gru"].Open} {
		for node := range w.nodes {
			if c, err := open(t.Context(), node, "echo"); err == nil {
				hear(t, c, 4)
			}
		}
	}
	w.links.Set("gru", "fra", Fault{Cut: true})
	w.nodes["fra"].stop()
	w.nodes["gru"].stop()
	deadline := time.Now().Add(10 * time.Second)
	for left := ""; ; runtime.Gosched() {
		if left = goroutines("backbone.(*Backbone)", "backbone.(*link)", "delay.(*Conn)", "delay.(*Group)"); left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind:\n%s", left)
		}
	}
}

// goroutines returns the stacks that mention one of the names, but for that of
// the caller's test.
func goroutines(names ...string) (found string) {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if slices.ContainsFunc(names, func(n string) bool { return strings.Contains(g, n) }) {
			found += g + "\n\n"
		}
	}
	return found
}

func TestCloseWakesReader(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	c, err := w.nodes["fra"].Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, c, 4)
	failed := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		failed <- err
	}()
	c.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		t.Errorf("Read = %v", err)
	}
}

// TestANodeThatWasRemovedIsNotCalledAndNotHeard: its links end, nobody dials it,
// and its certificate opens nothing. Control: before, it is heard; and once it is
// named again.
func TestANodeThatWasRemovedIsNotCalledAndNotHeard(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra", "iad")
	gru, fra := w.nodes["gru"], w.nodes["fra"]
	named := gru.deps.Peers
	before, err := gru.Open(t.Context(), "fra", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, before, 4)
	if c, err := fra.Dial(t.Context(), "gru", "echo"); err != nil || hear(t, c, 4) != "fra:" {
		t.Fatalf("control: fra is not heard: %v", err)
	}
	gru.SetPeers(slices.DeleteFunc(slices.Clone(named), func(p Peer) bool { return p.Node == "fra" }), []string{"fra"})
	if _, err := before.Read(make([]byte, 1)); err == nil {
		t.Error("a stream to a removed node goes on")
	}
	for name, open := range map[string]opener{"Dial": gru.Dial, "Open": gru.Open} {
		if _, err := open(t.Context(), "fra", "echo"); meridian.KindOf(err) != meridian.NotFound {
			t.Errorf("%s to a removed node = %v", name, err)
		}
	}
	if c, err := fra.Dial(t.Context(), "gru", "echo"); err == nil {
		if _, err = c.Read(make([]byte, 1)); err == nil { // TLS 1.3: the client learns of a refusal at its first read
			t.Error("a removed node is heard")
		}
	}
	if c, err := gru.Open(t.Context(), "iad", "echo"); err != nil || hear(t, c, 4) != "gru:" {
		t.Errorf("another node: %v", err)
	}
	gru.SetPeers(named, nil)
	if c, err := fra.Dial(t.Context(), "gru", "echo"); err != nil || hear(t, c, 4) != "fra:" {
		t.Errorf("named again: %v", err)
	}
	if c, err := gru.Open(t.Context(), "fra", "echo"); err != nil || hear(t, c, 4) != "gru:" {
		t.Errorf("named again: %v", err)
	}
}
