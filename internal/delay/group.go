package delay

import (
	"context"
	"net"
	"sync"
)

// A Group makes delayed connections, and can end all that it made. Its methods
// may be called by many goroutines at once.
type Group struct {
	clock Clock

	mu     sync.Mutex // guards what follows
	conns  map[*Conn]struct{}
	closed bool
}

// NewGroup returns a group whose connections are woken by clock.
func NewGroup(clock Clock) *Group { return &Group{clock: clock, conns: map[*Conn]struct{}{}} }

// Wrap puts a connection on a line. In a closed group it is closed at once.
func (g *Group) Wrap(inner net.Conn, line *Line) *Conn {
	c := newConn(inner, line, g.clock)
	g.mu.Lock()
	g.conns[c] = struct{}{}
	closed := g.closed
	g.mu.Unlock()
	go func() { // Close waits for it
		c.run()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, c)
	}()
	if closed {
		c.Abort()
	}
	return c
}

// Dial makes a connection over a line: one round trip, as a TCP handshake
// takes, and silence until ctx ends while the line is cut either way. An error of dial
// takes the round trip too.
func (g *Group) Dial(ctx context.Context, line *Line, dial func(context.Context) (net.Conn, error)) (*Conn, error) {
	if err := line.cross(ctx, outward, g.clock); err != nil {
		return nil, err
	}
	inner, err := dial(ctx)
	if back := line.cross(ctx, inward, g.clock); err == nil && back != nil {
		inner.Close()
		err = back
	}
	if err != nil {
		return nil, err
	}
	return g.Wrap(inner, line), nil
}

// cross takes as long as a byte from one end of the line to the other.
func (l *Line) cross(ctx context.Context, way direction, clock Clock) error {
	q := newQueue(l, way, clock)
	defer q.close()
	defer context.AfterFunc(ctx, func() { q.abort(ctx.Err()) })()
	q.finish(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.await()
}

// Close aborts the connections of the group and waits for their end.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	conns := make([]*Conn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		c.Abort()
	}
}
