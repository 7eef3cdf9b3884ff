package postgres

import (
	"context"
	"fmt"
	"io"
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
	c.mu.Unlock()
	switch {
	case n != nil && c.nearBusy.Load():
		return c.p.cancelLocal(ctx, n.backend.Key)
	case busy && u.backend != nil:
		return c.p.cancelLocal(ctx, u.backend.Key)
	case busy:
		return c.p.cancelRemote(ctx, u.region, c.id)
	}
	return nil
}

// cancelLocal cancels by PostgreSQL's own key.
func (p *Proxy) cancelLocal(ctx context.Context, k wire.Key) error {
	conn, err := p.deps.Local(ctx)
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

// cancelPeer cancels what a peer's session runs here.
func (p *Proxy) cancelPeer(ctx context.Context, id string) {
	p.mu.Lock()
	s := p.peers[id]
	p.mu.Unlock()
	if s == nil {
		return
	}
	if err := p.cancelLocal(ctx, s.backend.Key); err != nil {
		p.deps.Log.Warn("cannot cancel", "error", err)
	}
}
