package instance

import (
	"context"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/pgtest"
)

// A world is clusters of which one is the primary. The way to the primary can
// be held: nothing arrives then, as behind a cable that somebody cut.
type world struct {
	t       *testing.T
	dir     string
	primary atomic.Pointer[cluster]
	term    uint64
	all     []*cluster

	mu   sync.Mutex // guards what follows
	held map[meridian.Region]chan struct{}
	pass int // bytes that still go through
}

func newWorld(t *testing.T, regions ...meridian.Region) *world {
	t.Helper()
	w := idleWorld(t, regions...)
	w.start()
	return w
}

func idleWorld(t *testing.T, regions ...meridian.Region) *world {
	t.Helper()
	w := &world{t: t, dir: pgtest.Folder(t), term: 1, held: map[meridian.Region]chan struct{}{}}
	for _, r := range regions {
		w.all = append(w.all, w.cluster(r))
	}
	w.primary.Store(w.all[0])
	return w
}

func (w *world) start() {
	w.t.Helper()
	for i, c := range w.all {
		role := Standby
		if i == 0 {
			role = Primary
			c.founded()
		}
		c.start(role).up()
		c.slots()
		if i > 0 {
			w.check(c.Follow(w.t.Context(), w.term))
		}
	}
}

// templates is an empty folder that TestMain makes, for the whole run.
var templates string

// template founds a database there as any other, which never runs. A world
// begins with a copy of it, so that worlds share a system identifier: no test
// lets two of them meet. Tests about founding found.
var template = sync.OnceValues(func() (*Instance, error) {
	in, err := New(nodeConfig(templates, false), Deps{})
	if err == nil {
		err = in.prepare()
	}
	if err == nil {
		err = in.initdb(context.Background())
	}
	return in, err
})

// founded gives a cluster the template's data.
func (c *cluster) founded() {
	c.t.Helper()
	from, err := template()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.prepare(); err != nil {
		c.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from.data(), c.data()).CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
}

// slots makes every other region's.
func (c *cluster) slots() {
	c.t.Helper()
	if err := c.Slots(c.t.Context(), others(c)); err != nil {
		c.t.Fatal(err)
	}
}

func others(c *cluster) (names []string) {
	for _, r := range []meridian.Region{"us-east-1", "eu-west-1", "ap-south-1"} {
		if r != c.cfg.Region {
			names = append(names, Slot(r))
		}
	}
	return names
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cluster(r meridian.Region) *cluster {
	return newCluster(w.t, w.dir, r, func(ctx context.Context) (net.Conn, error) {
		c, err := w.primary.Load().Dial(ctx)
		if err != nil {
			return nil, err
		}
		return &heldConn{Conn: c, w: w, to: r, closed: make(chan struct{})}, nil
	})
}

// hold stops what flows from the primary to a region, until release.
func (w *world) hold(r meridian.Region) (release func()) { return w.holdAfter(r, 0) }

// holdAfter lets some bytes pass first.
func (w *world) holdAfter(r meridian.Region, pass int) (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make(chan struct{})
	w.held[r], w.pass = held, pass
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.held, r)
		close(held)
	})
}

type heldConn struct {
	net.Conn
	w      *world
	to     meridian.Region
	once   sync.Once
	closed chan struct{}
}

func (c *heldConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.mu.Lock()
	held := c.w.held[c.to]
	if held != nil && c.w.pass > 0 {
		c.w.pass -= n
		held = nil
	}
	c.w.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func (c *heldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// patient bounds one step of a test.
func (w *world) patient() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// stop stops the primary cleanly, and leaves the world without one.
func (w *world) stop() Stopped {
	w.t.Helper()
	old := w.primary.Load()
	old.streams()
	w.check(old.Checkpoint(w.patient()))
	began := time.Now()
	at, err := old.Stop(w.patient())
	w.check(err)
	w.t.Logf("stop %s: %v, at %s", old.cfg.Region, time.Since(began), at.LSN)
	return at
}

// streams waits until a standby streams from the cluster: who does not stream
// gets no more of the log once it stops.
func (c *cluster) streams() {
	c.t.Helper()
	c.eventuallyAs(Superuser, "SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'", "t")
}

// promote makes to the primary of the next term, which all others follow.
func (w *world) promote(to *cluster, gate meridian.LSN) Promoted {
	w.t.Helper()
	w.term++
	w.check(to.Pledge(w.term))
	began := time.Now()
	p, err := to.Promote(w.patient(), gate, others(to))
	w.check(err)
	w.t.Logf("promote %s: %v, timeline %d from %s, horizon %d", to.cfg.Region, time.Since(began), p.Timeline, p.Fork, p.Horizon)
	w.primary.Store(to)
	for _, c := range w.all {
		if c != to {
			w.check(c.Follow(w.patient(), w.term))
		}
	}
	return p
}

// kill ends the primary as a power cut does, and keeps its node down.
func (w *world) kill() {
	w.t.Helper()
	old := w.primary.Load()
	old.crash()
	if at, err := old.Stop(w.patient()); err == nil {
		w.t.Fatalf("killed, and yet stopped cleanly at %+v", at)
	}
}
