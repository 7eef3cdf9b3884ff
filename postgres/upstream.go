package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"meridian"
	"meridian/internal/loop"
	"meridian/postgres/pool"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// An upstream is the session's backend on the primary: a connection to the
// local PostgreSQL in the primary's region, a stream to the primary's proxy
// elsewhere. Groups flow to it without waiting; its goroutine brings replies.
type upstream struct {
	c       *client
	conn    net.Conn
	rd      *wire.Reader
	side    *session.Side
	region  meridian.Region
	backend *pool.Backend // nil for a stream
	out     []byte        // on its way to the primary; of the client's own goroutine
	hello   chan struct{} // closed once params are known
	done    chan struct{} // closed once its goroutine has returned
	task    *loop.Task    // that goroutine
	cancel  func()        // ends its goroutine's waits
	leaves  func()        // says that the session leaves its process; nil for a stream

	id       string      // of the stream, to the primary's proxy
	canceled atomic.Bool // because the primary moves
	unsent   atomic.Bool // out holds something

	// Guarded by the client's mu.
	tracker   *session.Tracker
	params    []byte
	pid       uint32 // of its server process; 0 until it is known
	timeline  uint32 // on which its server is, as that says; 0 until it is known
	dead      bool
	overtime  bool // its client was told that its statement was canceled because the primary moves
	refusal   *wire.Refusal
	suppress  int      // replies that the client has from the standby already
	last      bool     // the client was shown a FATAL error
	flights   []flight // not answered yet
	at        meridian.Token
	heard     meridian.Token // the newest that the primary was told the session was shown
	mid       bool           // a group has begun and not ended
	kept      []kept         // groups that are not answered; of a stream only
	moved     bool           // dead, and kept is to be sent again elsewhere
	resolving chan struct{}  // closed once it is known what became of what was sent; nil: nothing is being asked
	holder    holder         // of the goroutine that brings replies
	quiet     chan struct{}  // closed once it is quiet; nil: nobody waits for that
	settles   bool           // what ran since the last transaction's end may have changed what sessions begin with
	wrote     bool           // what is answered by the next ReadyForQuery may have written
	told      string         // what the primary's proxy was told of why the session cannot move
	claimed   string         // what it was told of the claims in flight
}

// full is when what waits to be sent is sent.
const full = 32 << 10

// openMain opens the session's backend on the primary.
func (c *client) openMain(ctx context.Context) error {
	region, here := c.p.primary()
	u := &upstream{c: c, side: session.NewSide(), region: region, hello: make(chan struct{}), done: make(chan struct{})}
	var err error
	if here {
		c.leaveStandby()
		err = u.openLocal(ctx)
	} else {
		err = u.openRemote(ctx)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	u.tracker = session.NewTracker(c.state, u.side)
	c.main = u
	c.mu.Unlock()
	// The backend outlives the wait for it: close ends it, once its session ends.
	waits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u.cancel = cancel
	u.task = c.p.loops.Go(u.conn, func() { u.replies(waits) }) // close waits for it
	return nil
}

func (u *upstream) openLocal(ctx context.Context) error {
	b, err := u.c.p.pool.Acquire(ctx, u.c.who(), u.c.role, u.c.params)
	if err != nil {
		return err
	}
	u.c.p.gate.returned()
	u.c.beside(b)
	u.c.mu.Lock()
	sql := u.c.state.Missing(u.side)
	u.c.mu.Unlock()
	if _, err := b.Run(sql...); err != nil {
		b.Close()
		return fmt.Errorf("bring the session's state: %w", err)
	}
	u.backend, u.conn, u.rd, u.params, u.pid = b, b.Conn, b.Reader, b.Params, b.Key.PID
	u.leaves = u.c.p.senders.stands(u.pid, u.c.sender(u.pid))
	if u.c.env != nil { // others' writes have no handle here
		u.timeline = u.c.p.timeline(ctx)
	}
	close(u.hello)
	return nil
}

// openRemote opens the stream; the Hello waits for the first statement, which
// travels with it.
func (u *upstream) openRemote(ctx context.Context) error {
	c := u.c
	if why := c.p.away(); why != "" {
		return meridian.WithKind(meridian.PrimaryUnavailable, errors.New(why))
	}
	ctx, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout)
	defer cancel()
	conn, err := c.p.deps.Remote(ctx, u.region)
	if err != nil {
		return meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("open a stream to %s: %w", u.region, err))
	}
	c.mu.Lock()
	sql := c.state.Missing(u.side)
	c.mu.Unlock()
	u.conn, u.rd, u.id = conn, wire.NewReader(conn), secret(16)
	u.out = wire.Builder(u.out).JSON(wire.FrameHello, wire.Hello{
		Version: wire.PeerVersion, Purpose: wire.PurposeSession, From: string(c.p.cfg.Region), ID: u.id, Who: c.who(),
		Role: c.role, Database: c.p.cfg.Database, Params: c.params, State: wire.State{SQL: sql}, Term: c.p.term(), Lends: c.p.cfg.LendAfter > 0, Number: c.sender(0).number,
	})
	return nil
}

// welcome returns the parameters that the backend began with.
func (u *upstream) welcome(ctx context.Context) ([]byte, error) {
	u.flush()
	u.c.p.loops.Slow()
	select {
	case <-u.hello:
		return u.params, nil
	case <-u.done:
		u.c.mu.Lock()
		defer u.c.mu.Unlock()
		if u.refusal != nil && u.refusal.Away {
			return nil, errShut(u.refusal.Message)
		}
		if u.refusal != nil {
			return nil, &wire.Error{Code: u.refusal.Code, Message: u.refusal.Message, Others: u.refusal.Others}
		}
		return nil, meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("the stream to %s ended", u.region))
	case <-ctx.Done():
		return nil, meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("wait for %s: %w", u.region, ctx.Err()))
	}
}

// ensureMain opens the primary's backend if there is none, if it is lost, or
// if the primary is elsewhere by now and nothing holds the session back.
func (c *client) ensureMain(ctx context.Context) error {
	region, _ := c.p.primary()
	if err := c.settled(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	u := c.main
	keep := u != nil && !u.dead && (u.region == region || !u.tracker.Idle() || u.tracker.Status != 'I' || c.immovable() != "")
	if !keep {
		if u != nil && u.moved {
			c.again = append(c.again, u.kept...)
		}
		c.main = nil
	}
	c.mu.Unlock()
	if keep {
		return nil
	}
	if u != nil {
		u.close()
		select {
		case <-u.hello: // that primary did take the session: what waits from now on waits for another move
			c.moving = nil
		default:
		}
	}
	return c.openMain(ctx)
}

// flush sends what waits. An error shows where replies are read, behind the last
// words of a PostgreSQL that has closed its end.
func (u *upstream) flush() {
	if len(u.out) == 0 || !u.sends() {
		return
	}
	if _, err := u.conn.Write(u.out); err != nil && !(u.backend != nil && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET))) {
		u.conn.Close()
	}
	u.unsent.Store(false)
	if u.out = u.out[:0]; cap(u.out) > 1<<20 {
		u.out = nil
	}
}

// sends notes that what is kept goes out now, and reports whether it does: what
// is not sent to a dead stream may be sent elsewhere.
func (u *upstream) sends() bool {
	if u.backend != nil {
		return true
	}
	u.c.mu.Lock()
	defer u.c.mu.Unlock()
	for i := range u.kept {
		u.kept[i].sent = !u.dead
	}
	return !u.dead
}

// close ends the upstream and waits for its goroutine. A clean connection to
// the local PostgreSQL goes back to the pool.
func (u *upstream) close() {
	c := u.c
	u.cancel()
	if u.leaves != nil {
		u.leaves()
	}
	c.mu.Lock()
	clean := u.backend != nil && !u.dead && u.tracker.Idle() && u.tracker.Status == 'I'
	for _, g := range u.flights {
		g.end()
	}
	u.flights = nil
	c.mu.Unlock()
	if !clean {
		if u.backend != nil {
			c.p.watch.leaks()
		}
		u.conn.Close()
		u.task.Wait()
		if u.backend != nil {
			u.backend.Close()
		}
		return
	}
	u.conn.SetReadDeadline(time.Unix(1, 0))
	u.task.Wait()
	u.conn.SetReadDeadline(time.Time{})
	u.backend.Release(u.rd.Buffered() == 0)
}
