package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"meridian/postgres/pool"
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

// cancel stops what the session runs at the time of the call, or is about to,
// and nothing that its client asks for later: that waits until the request has
// reached PostgreSQL, which drops it if it is idle by then.
func (c *client) cancel(ctx context.Context) error {
	c.mu.Lock()
	if under := c.canceling; under != nil || !c.atWorkLocked() {
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
	for began := time.Now(); ; pause(ctx, time.Millisecond) {
		if again, err := c.cancelNow(ctx, began); !again || ctx.Err() != nil {
			return err
		}
	}
}

// atWorkLocked reports whether the client waits for anything.
func (c *client) atWorkLocked() bool {
	return c.waiting != nil || c.running.Load() || c.busyLocked() || c.atHand.Load() && !c.p.cancelHasty
}

// busyLocked reports whether the primary owes something.
func (c *client) busyLocked() bool {
	return c.main != nil && !c.main.dead && !c.main.tracker.Quiet()
}

// cancelNow stops what runs. It says again if that is on its way yet: PostgreSQL
// would drop what comes before it.
func (c *client) cancelNow(ctx context.Context, began time.Time) (again bool, err error) {
	c.mu.Lock()
	n, u := c.near, c.main
	switch {
	case c.waiting != nil:
		close(c.waiting)
		c.waiting = nil
		c.mu.Unlock()
		return false, nil
	case n != nil && c.running.Load():
		c.cut = true
		c.mu.Unlock()
		return false, cancelAt(ctx, n.on.dial, n.backend)
	case !c.busyLocked():
		defer c.mu.Unlock()
		return c.atWorkLocked(), nil
	case u.backend != nil:
		c.mu.Unlock()
		if u.unsent.Load() && time.Since(began) < untaken && !c.p.cancelHasty {
			return true, nil
		}
		return false, cancelAt(ctx, c.p.deps.Local, u.backend)
	}
	groups := u.tracker.Sent()
	if u.mid {
		groups++
	}
	if c.p.cancelHasty {
		groups = 0
	}
	c.mu.Unlock()
	return c.p.cancelRemote(ctx, u, groups)
}

// errCanceled is PostgreSQL's own error.
func errCanceled() *wire.Error {
	return &wire.Error{Severity: "ERROR", Code: stateCanceled, Message: "canceling statement due to user request"}
}

// spent waits until a cancel request, if there is one, is on its way no more.
func (p *Proxy) spent(cancels <-chan struct{}) {
	if cancels != nil && !p.cancelLate {
		p.loops.Slow()
		<-cancels
	}
}

// untaken is how long a cancel request waits for what it cancels to be read by
// PostgreSQL, which reads nothing while it works on what came before.
const untaken = time.Second

// takenUp is how long PostgreSQL may take to begin with what it has read: until
// then it drops a cancel request. It is not asked again (ADR 0067).
const takenUp = 5 * time.Millisecond

// cancelAt cancels what a backend runs, by PostgreSQL's own key, once PostgreSQL
// has read it.
func cancelAt(ctx context.Context, dial func(context.Context) (net.Conn, error), b *pool.Backend) error {
	for began := time.Now(); !b.Taken() && time.Since(began) < untaken && ctx.Err() == nil; {
		pause(ctx, time.Millisecond)
	}
	pause(ctx, takenUp)
	conn, err := dial(ctx)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(cancelTimeout))
	if _, err := conn.Write(wire.Builder(nil).CancelRequest(b.Key)); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	conn.Read(make([]byte, 1)) // PostgreSQL closes once the signal is sent
	return nil
}

// cancelRemote asks the primary's proxy, on a stream of its own: the session's
// may be full. What is to be canceled is of the first groups of the session's
// stream, and may come after the request. It says again if that stream ended:
// another may carry it.
func (p *Proxy) cancelRemote(ctx context.Context, u *upstream, groups int) (again bool, err error) {
	conn, err := p.deps.Remote(ctx, u.region)
	if err != nil {
		return false, fmt.Errorf("cancel in %s: %w", u.region, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(cancelTimeout))
	h := wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeCancel, From: string(p.cfg.Region), ID: u.id, Groups: groups}
	if _, err := conn.Write(wire.Builder(nil).JSON(wire.FrameHello, h)); err != nil {
		return false, fmt.Errorf("cancel in %s: %w", u.region, err)
	}
	read := make(chan struct{})
	go func() { // until the primary closes: it is done
		defer close(read)
		conn.Read(make([]byte, 1))
	}()
	select {
	case <-read:
		return false, nil
	case <-u.done:
	}
	conn.Close()
	<-read
	return true, nil
}

// cancelPeer cancels what a peer's session runs here of the first groups of its
// stream. It waits for what has not come yet.
func (p *Proxy) cancelPeer(ctx context.Context, id string, groups int) {
	ctx, cancel := context.WithTimeout(ctx, cancelTimeout)
	defer cancel()
	for began := time.Now(); ctx.Err() == nil; pause(ctx, time.Millisecond) {
		p.mu.Lock()
		s := p.peers[id]
		p.mu.Unlock()
		if s == nil && groups > 0 {
			continue
		}
		if s == nil || s.spares(groups) {
			return
		}
		if !s.cancelable(time.Since(began) > untaken) {
			continue
		}
		err := cancelAt(ctx, p.deps.Local, s.backend)
		s.cancels.Done()
		if err != nil {
			p.deps.Log.Warn("cannot cancel", "error", err)
		}
		return
	}
}

// spares reports whether a request that cancels what is of the session's first
// groups comes too late. From a proxy that does not count them it is late where
// nothing runs.
func (s *peer) spares(groups int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if groups == 0 {
		return s.given || s.owed == 0 && !s.mid
	}
	return s.given || s.taken-s.owed >= groups
}

// cancelable reports whether the session runs something that PostgreSQL was
// sent, or that is not known. If so, its backend is not given to others before
// cancels is done.
func (s *peer) cancelable(unsent bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given || s.owed == 0 && !s.mid || s.unsent && !unsent {
		return false
	}
	s.cancels.Add(1)
	return true
}
