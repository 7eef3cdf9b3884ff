package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"meridian"
)

// A gate lets a standby reach the primary of one term at a time, and never
// again one of a term below its pledge. The pledge is on disk before anything
// relies on it: a node that forgot it in a crash could take log from a primary
// that was deposed meanwhile, after it had told the successor how much it has.
type gate struct {
	save func(content string) error // replaces the pledge's file and syncs it

	mu       sync.Mutex // guards what follows
	pledged  uint64     // no connection of a term below
	followed uint64     // the term of the connections that are open
	conns    map[*gated]struct{}
	changed  chan struct{} // closed at each change of the terms
	leaky    bool          // a test's negative control: connections are not cut
}

// A gated connection is known to its gate.
type gated struct {
	net.Conn
	gate *gate
}

func newGate(save func(string) error) *gate {
	return &gate{save: save, conns: map[*gated]struct{}{}, changed: make(chan struct{})}
}

// restore takes up what an earlier process pledged. It follows nobody until
// follow says whom, unless nothing was ever pledged.
func (g *gate) restore(file string) error {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	term, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return fmt.Errorf("pledge %s: %w", file, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pledged = max(g.pledged, term)
	return nil
}

// term returns the newest term that was pledged.
func (g *gate) term() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pledged
}

// watch returns a channel that is closed when the terms change.
func (g *gate) watch() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// recruit pledges a term above all before it and cuts every connection.
func (g *gate) recruit(term uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if term <= g.pledged {
		return meridian.WithKind(meridian.Forbidden, fmt.Errorf("recruit for term %d: term %d is pledged", term, g.pledged))
	}
	if err := g.pledge(term); err != nil {
		return err
	}
	g.cut()
	return nil
}

// promise pledges a term and leaves the open connections alone.
func (g *gate) promise(term uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if term < g.pledged {
		return meridian.WithKind(meridian.Forbidden, fmt.Errorf("pledge term %d: term %d is pledged", term, g.pledged))
	}
	return g.pledge(term)
}

// follow opens the gate to the primary of term, which has been it since term took.
func (g *gate) follow(term, took uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if term < g.pledged {
		return meridian.WithKind(meridian.Forbidden, fmt.Errorf("follow term %d: term %d is pledged", term, g.pledged))
	}
	if err := g.pledge(term); err != nil {
		return err
	}
	if g.followed == term {
		return nil
	}
	if g.followed < took {
		g.cut()
	}
	g.followed = term
	g.tell()
	return nil
}

// pledge puts a term on disk. The caller holds mu.
func (g *gate) pledge(term uint64) error {
	if term == g.pledged {
		return nil
	}
	if err := g.save(strconv.FormatUint(term, 10) + "\n"); err != nil {
		return fmt.Errorf("pledge term %d: %w", term, err)
	}
	g.pledged = term
	g.tell()
	return nil
}

// tell wakes who waits for a change. The caller holds mu.
func (g *gate) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// cut closes every connection. The caller holds mu.
func (g *gate) cut() {
	if g.leaky {
		return
	}
	for c := range g.conns {
		c.Conn.Close()
	}
	clear(g.conns)
}

// dial waits until the gate is open, and then connects to the primary. A
// standby that is kept waiting streams the moment that the gate opens; one
// that is refused would come back at its own pace.
func (g *gate) dial(ctx context.Context, to func(context.Context, uint64) (net.Conn, error)) (net.Conn, error) {
	for {
		g.mu.Lock()
		term, open, changed := g.followed, g.followed >= g.pledged || g.leaky, g.changed
		g.mu.Unlock()
		if !open {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		conn, err := to(ctx, term)
		if err != nil {
			return nil, err
		}
		if c := g.admit(conn, term); c != nil {
			return c, nil
		}
		conn.Close() // the term ended meanwhile
	}
}

func (g *gate) admit(conn net.Conn, term uint64) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if term != g.followed || term < g.pledged && !g.leaky {
		return nil
	}
	c := &gated{Conn: conn, gate: g}
	g.conns[c] = struct{}{}
	return c
}

// Close forgets the connection.
func (c *gated) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
