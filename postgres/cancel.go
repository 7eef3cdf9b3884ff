package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

var (
	errEOF     = io.EOF
	past       = time.Unix(1, 0)
	noDeadline = time.Time{}
)

// cancelTimeout bounds a cancel request on its way.
const cancelTimeout = 5 * time.Second

// cancel stops what a session runs, wherever it runs. As PostgreSQL does, it
// says nothing: an unknown key is passed over.
func (p *Proxy) cancel(ctx context.Context, k wire.Key) {
	p.mu.Lock()
	c := p.sessions[k]
	p.mu.Unlock()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cancelTimeout)
	defer cancel()
	if err := c.cancel(ctx); err != nil {
		p.deps.Log.Warn("cannot cancel", "error", err)
	}
}

// cancel stops what the session runs at the time of the call, and nothing that
// its client asks for later: that waits until the request has reached
// PostgreSQL, which drops it if it is idle by then.
func (c *client) cancel(ctx context.Context) error {
	c.mu.Lock()
	n, u := c.near, c.main
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
		c.mu.Unlock()
		return nil
	}
	busy := u != nil && !u.dead && !u.tracker.Idle()
	near := n != nil && c.nearBusy.Load()
	if under := c.canceling; under != nil || !busy && !near {
		c.mu.Unlock()
		c.p.spent(under)
		return nil
	}
	done := make(chan struct{})
	c.canceling = done
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.canceling = nil
		c.mu.Unlock()
		close(done)
	}()
	switch {
	case near:
		return cancelAt(ctx, n.on.dial, n.backend.Key)
	case u.backend != nil:
		return c.p.cancelLocal(ctx, u.backend.Key)
	}
	return c.p.cancelRemote(ctx, u.region, c.id)
}

// spent waits until a cancel request, if there is one, is on its way no more.
func (p *Proxy) spent(cancels <-chan struct{}) {
	if cancels != nil && !p.cancelLate {
		p.loops.Slow()
		<-cancels
	}
}

// cancelLocal cancels what the region's own PostgreSQL does.
func (p *Proxy) cancelLocal(ctx context.Context, k wire.Key) error {
	return cancelAt(ctx, p.deps.Local, k)
}

// cancelAt cancels by PostgreSQL's own key.
func cancelAt(ctx context.Context, dial func(context.Context) (net.Conn, error), k wire.Key) error {
	conn, err := dial(ctx)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(cancelTimeout))
	if _, err := conn.Write(wire.Builder(nil).CancelRequest(k)); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	conn.Read(make([]byte, 1)) // PostgreSQL closes once the signal is sent
	return nil
}

// cancelRemote asks the primary's proxy, on a stream of its own: the session's
// may be full.
func (p *Proxy) cancelRemote(ctx context.Context, region meridian.Region, id string) error {
	conn, err := p.deps.Remote(ctx, region)
	if err != nil {
		return fmt.Errorf("cancel in %s: %w", region, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(cancelTimeout))
	h := wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeCancel, From: string(p.cfg.Region), ID: id}
	if _, err := conn.Write(wire.Builder(nil).JSON(wire.FrameHello, h)); err != nil {
		return fmt.Errorf("cancel in %s: %w", region, err)
	}
	conn.Read(make([]byte, 1)) // the primary closes once it is done
	return nil
}

// cancelable reports whether the session runs something. If so, its backend is
// not given to others before cancels is done.
func (s *peer) cancelable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given || s.owed == 0 && !s.mid {
		return false
	}
	s.cancels.Add(1)
	return true
}

// cancelPeer cancels what a peer's session runs here.
func (p *Proxy) cancelPeer(ctx context.Context, id string) {
	p.mu.Lock()
	s := p.peers[id]
	p.mu.Unlock()
	if s == nil || !s.cancelable() {
		return
	}
	defer s.cancels.Done()
	if err := p.cancelLocal(ctx, s.backend.Key); err != nil {
		p.deps.Log.Warn("cannot cancel", "error", err)
	}
}
