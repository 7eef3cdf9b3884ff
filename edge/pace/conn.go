package pace

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is a client's connection, over which one or many requests are sent.
type Conn struct {
	watch   *Watch
	in, out way

	// queued returns how many bytes the system holds that the client has not yet
	// taken; nil if that cannot be known.
	queued func() (int, bool)
	cut    func()
	busy   atomic.Bool // bytes are on their way to the client: streams need not have room

	mu     sync.Mutex // guards what follows
	seen   bool
	over   bool
	since  time.Time // a write goes on since; zero if none does
	waited time.Duration
	debt   Debt
	queue  int // at the last look
	passed int64
}

// A way is what passes in one direction.
type way struct {
	n       atomic.Int64
	ask     func() int64 // in place of n, if not nil
	waiting atomic.Int64 // requests that wait
}

func (w *way) bytes() int64 {
	if w.ask != nil {
		return w.ask()
	}
	return w.n.Load()
}

// Over makes a connection whose bytes are told to it. cut ends it, if its client
// does not take what is written; it is called once, must not block, and must not
// call back.
func (w *Watch) Over(queued func() (int, bool), cut func()) *Conn {
	return &Conn{watch: w, queued: queued, cut: cut}
}

// Counted makes a connection that counts its bytes itself, and lets no write
// wait.
func (w *Watch) Counted(in, out func() int64) *Conn {
	return &Conn{watch: w, in: way{ask: in}, out: way{ask: out}}
}

// Read counts bytes that came.
func (c *Conn) Read(n int) {
	if n > 0 {
		c.in.n.Add(int64(n))
	}
}

// BeginWrite says that bytes are being written.
func (c *Conn) BeginWrite() {
	if c.watch.rule.Rate <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = c.watch.now()
	if !c.seen && !c.over {
		c.seen, c.queue, c.passed = true, -1, c.out.bytes()
		c.watch.add(c)
	}
}

// EndWrite says how many were.
func (c *Conn) EndWrite(n int) {
	if n > 0 {
		c.out.n.Add(int64(n))
	}
	if c.watch.rule.Rate <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		c.waited += c.watch.now().Sub(c.since)
		c.since = time.Time{}
	}
}

// Close ends the watching. cut is not called after it has returned.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.seen {
		c.seen = false
		c.watch.forget(c)
	}
}

// excuses reports whether those who wait for a way wait for the network, and not
// for the client's own hand: the connection's own debt is then what counts.
func (c *Conn) excuses(w *way) bool { return w == &c.out && c.busy.Load() }

// look charges a client for a write that waits, and for bytes that lie in the
// system while responses wait for room that only their reader can give.
func (c *Conn) look(now time.Time) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	writes, streams := !c.since.IsZero(), c.out.waiting.Load() > 0
	taken, lies := c.taken()
	switch {
	case writes:
		c.waited += now.Sub(c.since)
		c.since = now
	case streams && lies:
		c.waited = max(c.waited, Every)
	}
	c.busy.Store(writes || lies)
	rule := c.watch.rule
	c.debt = rule.After(c.debt, c.waited, taken)
	c.waited = 0
	if rule.Slow(c.debt) {
		c.over = true
		c.cut()
	}
	c.seen = (writes || streams || lies) && !c.over
	return c.seen
}

// taken returns how many bytes the client took since the last look, and whether
// there are more for it in the system.
func (c *Conn) taken() (n int64, lies bool) {
	passed := c.out.bytes()
	defer func() { c.passed = passed }()
	if c.queued != nil {
		if q, ok := c.queued(); ok {
			n = passed - c.passed
			if c.queue >= 0 {
				n = max(0, int64(c.queue-q)+n)
			}
			c.queue = q
			return n, q > 0
		}
	}
	return passed - c.passed, false
}
