package framing

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// A connection of HTTP/2 costs its client nothing while it is idle, and net/http
// two goroutines, tables and buffers. So when it has been idle for a while net/http
// is told that it ended, and it goes to Config.Rest. When its client speaks again
// net/http gets it as a new one, and is brought to where it was (revive.go).

// A rest is what an H2 knows of its connection's idleness.
type rest struct {
	handlers atomic.Int64 // that run
	leaving  atomic.Bool  // net/http was told that the connection ended
	reviving atomic.Bool  // net/http is not yet as it was
	wrote    atomic.Bool  // something was written since Rests
	spend    int64        // bytes that a response meanwhile has

	mu    sync.Mutex // guards what follows
	idle  bool       // net/http has no stream
	since time.Time  // when that began
	again bool       // it has rested, and no stream has come since
	until time.Time  // when it has been idle for too long; zero: never
	armed bool       // whoever reads looks at since when its deadline is over
}

// Rests says that net/http has no stream.
func (c *H2) Rests() {
	if c.cfg.Rest == nil {
		return
	}
	r := &c.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle, r.since = true, time.Now()
	r.wrote.Store(false)
	if !r.again && c.cfg.Idle > 0 {
		r.until = r.since.Add(c.cfg.Idle)
	}
	if !r.armed {
		r.armed = true
		c.Secure.SetReadDeadline(r.since.Add(c.cfg.ParkAfter))
	}
}

// Works says that net/http has a stream.
func (c *H2) Works() {
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	c.rest.idle = false
	if !c.rest.reviving.Load() {
		c.rest.again = false
	}
}

// Enter says that a handler begins, Leave that it ends.
func (c *H2) Enter() { c.rest.handlers.Add(1) }

// Leave says that a handler ends.
func (c *H2) Leave() { c.rest.handlers.Add(-1) }

// full reads all of p.
func (c *H2) full(p []byte) error {
	for len(p) > 0 {
		n, err := c.patient(p, false)
		if p = p[n:]; err != nil && len(p) > 0 {
			return err
		}
	}
	return nil
}

// patient reads, and when the deadline comes by which an idle connection leaves,
// goes on or leaves: only between two frames, and if it has waited that long. It
// returns io.EOF then. When a read of TLS times out it holds no whole record, and is
// as good as not begun.
func (c *H2) patient(p []byte, between bool) (int, error) {
	var began time.Time
	if between && c.cfg.Rest != nil {
		began = time.Now()
	}
	for {
		n, err := c.Secure.Read(p)
		var timeout net.Error
		if n > 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
			return n, err
		}
		if known, leaves := c.late(began); leaves {
			return 0, io.EOF
		} else if !known {
			return 0, err
		}
	}
}

// late is called when the deadline of reading is over that began then, or in the
// middle of a frame. It returns whether that is the one of idleness, and whether the
// connection leaves.
func (c *H2) late(began time.Time) (known, leaves bool) {
	r := &c.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.armed {
		return false, false
	}
	now := time.Now()
	next := r.since.Add(c.cfg.ParkAfter)
	if began.After(r.since) {
		next = began.Add(c.cfg.ParkAfter)
	}
	switch {
	case !r.idle:
		next = time.Time{} // Rests sets it anew
	case next.After(now):
	case !r.wrote.Load() && now.Before(r.since.Add(unsaid*c.cfg.ParkAfter)):
		next = r.since.Add(unsaid * c.cfg.ParkAfter)
	case began.IsZero() || r.handlers.Load() > 0:
		next = now.Add(c.cfg.ParkAfter)
	default:
		next = time.Time{}
		leaves = c.whole()
	}
	r.armed = !next.IsZero()
	r.leaving.Store(leaves)
	c.Secure.SetReadDeadline(next)
	return true, leaves
}

// unsaid is by how much longer a connection is left to net/http that has said
// nothing since it has no stream: what ended the last one may not be written yet.
const unsaid = 8

// whole reports whether all is known of the connection that net/http will have to
// know again, and nothing is on its way.
func (c *H2) whole() bool {
	w := &c.writes
	if !w.mu.TryLock() { // a client that does not read
		return false
	}
	defer w.mu.Unlock()
	return !c.said.odd && !c.said.away && !w.away && !w.ended && w.whole() && w.hush == nil &&
		c.said.acks == w.settings && c.given.Load() >= w.data.Load()
}

// left reports whether net/http has said nothing since it was told to leave that
// ends the connection.
func (c *H2) left() bool {
	if !c.rest.leaving.CompareAndSwap(true, false) || !c.writes.mu.TryLock() {
		return false
	}
	defer c.writes.mu.Unlock()
	return !c.writes.away && !c.writes.ended && c.writes.whole()
}

// Begin returns the connection as a server of net/http finds it: new, and with the
// preface read. Before the next one begins it must have been closed by its server.
func (c *H2) Begin() net.Conn {
	if c.rest.again {
		c.revive()
	}
	return &life{H2: c, gates: c.quiet}
}

// Resume says that a connection which rests is about to be served again.
func (c *H2) Resume() {
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	c.rest.again = true
}

// Under returns what the connection is below.
func (c *H2) Under() Secure { return c.Secure }

// farewell bounds what a connection that ends at rest waits for its client.
const farewell = time.Second

// Bye ends a connection that rests. A request that comes meanwhile its client
// knows to be one that nobody has looked at (RFC 9113, section 6.8).
func (c *H2) Bye() {
	c.Secure.SetDeadline(time.Now().Add(farewell))
	c.Secure.Write(goAway(c.said.last, http2.ErrCodeNo))
	io.Copy(io.Discard, c.Secure) // or the system would say that the connection broke, and GOAWAY might be lost
	c.Secure.Close()
}

// A life is a connection between two rests.
type life struct {
	*H2
	gates []*gate
	over  atomic.Bool
}

// Read implements net.Conn.
func (l *life) Read(p []byte) (int, error) {
	if l.over.Load() {
		return 0, io.EOF
	}
	return l.H2.Read(p)
}

// Write implements net.Conn.
func (l *life) Write(p []byte) (int, error) {
	if l.over.Load() {
		return 0, net.ErrClosed
	}
	defer l.rest.wrote.Store(true)
	return l.H2.Write(p)
}

// Close implements net.Conn. One that was told to leave leaves, unless net/http
// said meanwhile that the connection ends.
func (l *life) Close() error {
	if !l.over.CompareAndSwap(false, true) {
		return nil
	}
	for _, g := range l.gates {
		g.pass()
	}
	if !l.left() {
		return l.Secure.Close()
	}
	l.said.sleep(&l.H2.hpack)
	l.block = block{}
	l.rest.mu.Lock()
	l.rest.idle = false
	until := l.rest.until
	l.rest.mu.Unlock()
	l.cfg.Rest(l.H2, until)
	return nil
}
