package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// How connections of a pool are kept. Servers close idle ones after 5 s and
// more, without a word in HTTP/1.1: a request that must not be sent twice takes
// none that has been idle for long.
const (
	maxIdle   = 64               // connections that no request uses
	idleSafe  = 60 * time.Second // after which no request takes a connection
	idleWrite = 4 * time.Second  // after which only a safe one does
	tidyEvery = time.Second      // between two looks at all connections
)

// A pool holds the connections to one server. One that was dialed for a request
// serves others after it, and in HTTP/2 beside it.
type pool struct {
	limit int  // connections at most
	bell  bell // rings when a dial or a request ends, and when a connection does

	mu      sync.Mutex // guards what follows
	conns   []*conn    // in the order of their last use
	busy    int        // those of them that serve a request
	tidied  time.Time  // when all were looked at
	closed  bool
	streams bool  // the newest connection was HTTP/2
	known   bool  // there has been one
	dialing int   // dials under way
	fails   int   // dials that failed, ever
	err     error // of the newest that failed
	circuit circuit
}

// multiplexed reports whether the connection is HTTP/2.
func (c *conn) multiplexed() bool { return c.streams }

// take returns a connection with room for one request, reserved for it, and
// whether others had used it before. Where the server speaks HTTP/2, or nobody
// knows yet, requests that come together wait for one dial.
func (p *pool) take(ctx context.Context, safe bool, dial func(context.Context) (*http.ClientConn, error)) (c *conn, used bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for before := p.fails; ; {
		heard := p.bell.hear()
		if c := p.pick(safe, time.Now()); c != nil {
			return c, true, nil
		}
		switch {
		case p.fails > before:
			return nil, false, p.err
		case p.dialing > 0 && (p.streams || !p.known), p.full(time.Now()):
			if err := p.wait(ctx, heard); err != nil {
				return nil, false, err
			}
			continue
		}
		if why, ok := p.circuit.allow(time.Now()); !ok {
			return nil, false, errors.New(why)
		}
		return p.connect(ctx, dial)
	}
}

// pick reserves a place on the connection that was used last, of those that are
// good for the request. It is called with mu held.
func (p *pool) pick(safe bool, now time.Time) *conn {
	if now.Sub(p.tidied) >= tidyEvery {
		p.prune(now)
	}
	limit := idleWrite
	if safe {
		limit = idleSafe
	}
	for _, c := range slices.Backward(p.conns) {
		switch {
		case c.requests > 0 && !c.streams, c.requests == 0 && now.Sub(c.last) >= limit:
		case c.Reserve() == nil: // not full, and not ended
			p.serves(c)
			return c
		}
	}
	return nil
}

// serves notes that a connection serves one more request. It is called with mu
// held.
func (p *pool) serves(c *conn) {
	if c.requests == 0 {
		p.busy++
	}
	c.requests++
}

// full reports whether no further connection may be made. It is called with mu
// held.
func (p *pool) full(now time.Time) bool {
	if len(p.conns)+p.dialing < p.limit {
		return false
	}
	p.prune(now)
	return len(p.conns)+p.dialing >= p.limit && !p.evict(now)
}

// prune drops connections that ended, that were idle for too long, and that are
// too many. It is called with mu held.
func (p *pool) prune(now time.Time) {
	p.tidied = now
	idle := len(p.conns) - p.busy
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool { // those that were used last stand at the end
		if c.Err() == nil && c.requests > 0 {
			return false
		}
		if c.Err() == nil && !p.closed && now.Sub(c.last) < idleSafe && idle <= maxIdle {
			return false
		}
		p.drop(c)
		if c.requests == 0 {
			idle--
		}
		return true
	})
}

// drop ends a connection that is no more among the pool's. It is called with mu
// held.
func (p *pool) drop(c *conn) {
	if c.requests > 0 {
		p.busy--
	}
	c.gone = true
	c.Close()
}

// evict ends a connection that was idle for too long for the request that wants
// its place. It is called with mu held.
func (p *pool) evict(now time.Time) bool {
	i := slices.IndexFunc(p.conns, func(c *conn) bool { return c.requests == 0 && now.Sub(c.last) >= idleWrite })
	if i < 0 {
		return false
	}
	p.drop(p.conns[i])
	p.conns = slices.Delete(p.conns, i, i+1)
	return true
}

// wait waits until the bell rings. It is called with mu held, and gives it up
// meanwhile.
func (p *pool) wait(ctx context.Context, heard <-chan struct{}) error {
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-heard:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection: %w", context.Cause(ctx))
	}
}

// connect dials, and reserves a place on the new connection. It is called with
// mu held, and gives it up meanwhile.
func (p *pool) connect(ctx context.Context, dial func(context.Context) (*http.ClientConn, error)) (*conn, bool, error) {
	p.dialing++
	p.mu.Unlock()
	var along *hops
	cc, err := dial(listening(ctx, &along))
	p.mu.Lock()
	p.dialing--
	defer p.bell.ring()
	switch {
	case err != nil && ctx.Err() != nil: // says nothing of the server
		return nil, false, err
	case err != nil:
		p.fails, p.err = p.fails+1, err
		p.circuit.failed(err.Error(), time.Now())
		return nil, false, err
	}
	p.circuit.worked()
	cc.SetStateHook(func(*http.ClientConn) { p.bell.ring() })
	c := &conn{ClientConn: cc, hops: along, streams: cc.Available() > 1, last: time.Now()}
	p.streams, p.known = c.streams, true
	if err := c.Reserve(); err != nil {
		c.Close()
		return nil, false, err
	}
	p.conns = append(p.conns, c)
	p.serves(c)
	return c, false, nil
}

// release is told that a request has ended. If good is false its connection had
// been used before, and failed: then the others that are idle are suspect too,
// since a server that was started again has forgotten them all.
func (p *pool) release(c *conn, good bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rests(c, now)
	if !good {
		for _, o := range p.conns {
			if o.requests == 0 {
				o.last = time.Time{}
			}
		}
	}
	if !good || p.closed || len(p.conns)-p.busy > maxIdle {
		p.prune(now)
	}
	p.bell.ring()
}

// rests notes that a connection serves one request less. It is called with mu
// held.
func (p *pool) rests(c *conn, now time.Time) {
	c.last = now
	if c.requests--; c.requests > 0 || c.gone {
		return
	}
	p.busy--
	if i := slices.Index(p.conns, c); i >= 0 { // to the end: it was used last
		copy(p.conns[i:], p.conns[i+1:])
		p.conns[len(p.conns)-1] = c
	}
}

// down reports whether there is no connection, and none is worth a dial.
func (p *pool) down(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.circuit.fails < opensAfter {
		return false
	}
	p.prune(now)
	return len(p.conns) == 0 && now.Before(p.circuit.until)
}

// close ends what is idle now, and the rest when it becomes so.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.prune(time.Now())
}

// A bell wakes all who hear it. It has a lock of its own, since connections
// ring it while the pool's is held.
type bell struct {
	mu sync.Mutex // guards what follows
	ch chan struct{}
}

// hear returns what is closed when the bell rings next.
func (b *bell) hear() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// A circuit remembers dials that failed in a row. Once three have, requests
// that need a new connection are refused at once, but one a while that tries.
type circuit struct {
	fails int
	why   string
	until time.Time
}

// opensAfter is the failures in a row that open a circuit.
const opensAfter = 3

// allow reports whether a dial is worth its time, and why not.
func (c *circuit) allow(now time.Time) (why string, ok bool) {
	switch {
	case c.fails < opensAfter:
		return "", true
	case now.Before(c.until):
		return fmt.Sprintf("%d dials failed in a row, the newest: %s", c.fails, c.why), false
	}
	c.until = now.Add(firstAvoid) // this one is the probe
	return "", true
}

func (c *circuit) failed(why string, now time.Time) {
	c.fails, c.why = c.fails+1, why
	if c.fails >= opensAfter {
		c.until = now.Add(min(firstAvoid<<min(c.fails-opensAfter, 8), longAvoid))
	}
}

func (c *circuit) worked() { *c = circuit{} }
