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
)

// A pool holds the connections to one server. One that was dialed for a request
// serves others after it, and in HTTP/2 beside it.
type pool struct {
	mu      sync.Mutex // guards what follows
	conns   []*conn
	closed  bool
	streams bool          // the newest connection was HTTP/2
	known   bool          // there has been one
	dialing int           // dials under way
	changed chan struct{} // closed when one of them ends; nil if nobody waits
	fails   int           // dials that failed, ever
	err     error         // of the newest that failed
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
		if c := p.pick(safe, time.Now()); c != nil {
			return c, true, nil
		}
		switch {
		case p.fails > before:
			return nil, false, p.err
		case p.dialing > 0 && (p.streams || !p.known):
			if err := p.wait(ctx); err != nil {
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
func (p *pool) pick(safe bool, now time.Time) (best *conn) {
	p.prune(now)
	limit := idleWrite
	if safe {
		limit = idleSafe
	}
	for _, c := range p.conns {
		if c.Available() > 0 && (c.InFlight() > 0 || now.Sub(c.last) < limit) && (best == nil || c.last.After(best.last)) {
			best = c
		}
	}
	if best == nil || best.Reserve() != nil {
		return nil
	}
	return best
}

// prune drops connections that ended, that were idle for too long, and that are
// too many. It is called with mu held.
func (p *pool) prune(now time.Time) {
	idle := 0
	slices.SortFunc(p.conns, func(a, b *conn) int { return b.last.Compare(a.last) })
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool {
		if c.Err() == nil && c.InFlight() > 0 {
			return false
		}
		if c.Err() == nil && !p.closed && now.Sub(c.last) < idleSafe && idle < maxIdle {
			idle++
			return false
		}
		c.Close()
		return true
	})
}

// wait waits until a dial ends. It is called with mu held, and gives it up
// meanwhile.
func (p *pool) wait(ctx context.Context) error {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	changed := p.changed
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-changed:
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
	cc, err := dial(ctx)
	p.mu.Lock()
	p.dialing--
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	switch {
	case err != nil && ctx.Err() != nil: // says nothing of the server
		return nil, false, err
	case err != nil:
		p.fails, p.err = p.fails+1, err
		p.circuit.failed(err.Error(), time.Now())
		return nil, false, err
	}
	p.circuit.worked()
	c := &conn{ClientConn: cc, streams: cc.Available() > 1, last: time.Now()}
	p.streams, p.known = c.streams, true
	if err := c.Reserve(); err != nil {
		c.Close()
		return nil, false, err
	}
	p.conns = append(p.conns, c)
	return c, false, nil
}

// release is told that a request has ended. If good is false its connection had
// been used before, and failed: then the others that are idle are suspect too,
// since a server that was started again has forgotten them all.
func (p *pool) release(c *conn, good bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.last = now
	if !good {
		for _, o := range p.conns {
			if o.InFlight() == 0 {
				o.last = time.Time{}
			}
		}
	}
	p.prune(now)
}

// down reports whether there is no connection, and none is worth a dial.
func (p *pool) down(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prune(now)
	return len(p.conns) == 0 && p.circuit.fails >= opensAfter && now.Before(p.circuit.until)
}

// close ends what is idle now, and the rest when it becomes so.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.prune(time.Now())
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
