package health

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/internal/delay"
)

const ms = time.Millisecond

// A world is a few probers in one bubble, all 100 ms apart.
type world struct {
	t     *testing.T
	lines map[string]*delay.Line // by the two names joined, in either order
	nodes map[string]*node
}

type node struct {
	*Prober
	accept chan net.Conn
	down   chan struct{} // closed by kill

	mu    sync.Mutex // guards what follows
	conns []net.Conn // the ends it holds
}

var errRefused = errors.New("connection refused")

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, lines: map[string]*delay.Line{}, nodes: map[string]*node{}}
	for _, a := range names {
		for _, b := range names {
			if a < b {
				line := delay.NewLine(100*ms, 100*ms)
				w.lines[a+b], w.lines[b+a] = line, line
			}
		}
	}
	for _, n := range names {
		w.nodes[n] = &node{}
	}
	for _, n := range names {
		w.start(n, names)
	}
	return w
}

// start runs a node until it is killed, or the test ends.
func (w *world) start(name string, names []string) {
	n := &node{accept: make(chan net.Conn), down: make(chan struct{})}
	w.nodes[name] = n
	group := delay.NewGroup(delay.Timers{})
	p, err := New(Config{Node: name}, Deps{
		Open:     func(ctx context.Context, to string) (net.Conn, error) { return w.open(ctx, group, name, to) },
		Listener: n,
		Peers:    names,
		Facts:    func() map[string]string { return map[string]string{"name": name} },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.Prober = p
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, func() {}) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			n.kill()
			if err := <-done; err != nil {
				w.t.Errorf("Run of %s = %v", name, err)
			}
			group.Close()
		})
	}
	w.t.Cleanup(stop)
}

// open connects two nodes over their line.
func (w *world) open(ctx context.Context, g *delay.Group, from, to string) (net.Conn, error) {
	return g.Dial(ctx, w.lines[from+to], func(ctx context.Context) (net.Conn, error) {
		n, near, far := w.nodes[to], net.Conn(nil), net.Conn(nil)
		near, far = net.Pipe()
		select {
		case <-n.down:
			return nil, errRefused
		case n.accept <- far:
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns = append(n.conns, far)
		return near, nil
	})
}

func (n *node) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.down:
		return nil, io.EOF
	}
}
func (n *node) Close() error   { return nil }
func (n *node) Addr() net.Addr { return nil }

// kill refuses connections and breaks those that stand, as the death of a
// process does.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.down:
	default:
		close(n.down)
	}
	for _, c := range n.conns {
		c.Close()
	}
}

// until waits for a condition and returns how long that took.
func until(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > time.Minute {
			t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(ms)
	}
	return time.Since(start)
}

// bubble runs a test in a bubble with three nodes that know each other.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "fra", "gru", "iad")
		time.Sleep(5 * time.Second)
		test(t, w)
	})
}

func TestEveryNodeKnowsWhatOthersSee(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.nodes["fra"].Verdicts()
		if g := v["gru"]; !g.Alive || g.RTT != 100*ms || g.Facts["name"] != "gru" {
			t.Errorf("fra sees gru: %+v", g)
		}
		if !v["fra"].Alive {
			t.Error("fra does not see itself")
		}
		links := w.nodes["fra"].Links()
		if len(links) != 6 {
			t.Errorf("fra knows %d of 6 round trips: %v", len(links), links)
		}
		for _, l := range links {
			if l.RTT != 100*ms || !l.OK {
				t.Errorf("%+v", l)
			}
		}
	})
}

func TestDeathIsKnownWithinARoundTrip(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.nodes["gru"].kill()
		took := until(t, "fra sees gru dead", func() bool { return !w.nodes["fra"].Verdicts()["gru"].Alive })
		if took > 200*ms { // the end of the stream: half a round trip; a dial that is refused: one
			t.Errorf("took %v", took)
		}
		if why := w.nodes["fra"].Verdicts()["gru"].Why; why != errRefused.Error() {
			t.Errorf("why = %q", why)
		}
		until(t, "all see it", func() bool { return !w.nodes["fra"].Quorum()["gru"].Alive })
	})
}

func TestSilenceIsDeathAndReturnTakesTwoAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		fra := w.nodes["fra"]
		w.lines["fragru"].Set(delay.Fault{Cut: true})
		took := until(t, "fra misses gru", func() bool { return !fra.Verdicts()["gru"].Alive })
		if took < 600*ms || took > 1300*ms {
			t.Errorf("took %v", took)
		}
		if v := fra.Verdicts()["iad"]; !v.Alive {
			t.Errorf("iad: %+v", v)
		}
		if v := fra.Quorum()["gru"]; !v.Alive { // iad sees it: one of two
			t.Errorf("the public view of gru: %+v", v)
		}
		w.lines["fragru"].Set(delay.Fault{})
		if took := until(t, "gru is back", func() bool { return fra.Verdicts()["gru"].Alive }); took > time.Second {
			t.Errorf("took %v to come back", took)
		}
	})
}

func TestNodeThatIsCutOffTakesAllForAlive(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.lines["fragru"].Set(delay.Fault{Cut: true})
		w.lines["fraiad"].Set(delay.Fault{Cut: true})
		time.Sleep(10 * time.Second)
		for n, v := range w.nodes["fra"].Quorum() {
			if !v.Alive {
				t.Errorf("fra judges %s: %+v", n, v)
			}
		}
		for n, v := range w.nodes["fra"].Verdicts() {
			if v.Alive != (n == "fra") {
				t.Errorf("fra sees %s: %+v", n, v)
			}
		}
		if v := w.nodes["iad"].Quorum()["fra"]; v.Alive {
			t.Errorf("iad judges fra: %+v", v)
		}
	})
}

// TestPeersComeAndGo: who is named is watched, who is named no more is not, and
// what is known of the others stays.
func TestPeersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "gru", "fra", "iad")
		gru := w.nodes["gru"].Prober
		gru.SetPeers([]string{"fra"})
		time.Sleep(2 * time.Second)
		seen := gru.Verdicts()
		if _, ok := seen["iad"]; ok || seen["fra"].At.IsZero() {
			t.Fatalf("fra alone is named: %v", seen)
		}
		gru.SetPeers([]string{"fra", "iad"})
		if now := gru.Verdicts(); now["fra"].At != seen["fra"].At || !now["iad"].Alive || !now["iad"].At.IsZero() {
			t.Errorf("iad was just named: %v", now)
		}
		time.Sleep(2 * time.Second)
		if now := gru.Verdicts(); !now["iad"].Alive || now["iad"].At.IsZero() {
			t.Errorf("iad is not watched: %v", now)
		}
		gru.SetPeers([]string{"iad"})
		time.Sleep(2 * time.Second)
		if now := gru.Verdicts(); len(now) != 2 || !now["iad"].Alive {
			t.Errorf("fra was removed: %v", now)
		}
	})
}
