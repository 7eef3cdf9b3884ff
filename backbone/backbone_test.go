package backbone

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian"
)

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
