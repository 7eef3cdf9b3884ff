package postgres

import (
	"context"
	"time"

	"meridian/postgres/wire"
)

// A leaver is a session that stands on the local PostgreSQL.
type leaver interface {
	lender
	// leave takes the session off the local PostgreSQL if that is possible at
	// this stage of a pause.
	leave(context.Context, stage) leaving
	// bound says why the session cannot leave now, or "".
	bound() string
	// runs reports whether PostgreSQL, as the primary, owes the session an
	// answer.
	runs() bool
	// goOn notes that the pause is over.
	goOn()
}

// A stage is how far a pause has come.
type stage byte

const (
	sparing    stage = iota // transactions may end; nobody is ended
	finishing               // transactions may end
	canceling               // the budget is over: blocks end, statements are canceled
	terminated              // whatever is left ends, its outcome unknown
)

// A leaving is what became of a session in a pause.
type leaving byte

const (
	away   leaving = iota // it does not stand on the local PostgreSQL
	left                  // it does not any more, and goes on
	busy                  // it still does
	killed                // it does not, and was told 57P01
)

// errMoving ends a session that cannot move.
func errMoving(why string) *wire.Error {
	return &wire.Error{Severity: "FATAL", Code: stateShutdown,
		Message: "meridian: terminating connection: the primary moves to another region",
		Detail:  "The session cannot move: " + why + "."}
}

// leave implements leaver for a client of this region.
func (c *client) leave(ctx context.Context, at stage) leaving {
	c.mu.Lock()
	n, u := c.near, c.main
	if n != nil && (c.nearBusy.Load() || n.tracker.Status != 'I') && at <= finishing {
		c.mu.Unlock()
		return busy
	}
	running, block, pinned := c.standingLocked()
	if at == sparing && pinned != "" {
		c.mu.Unlock()
		return busy
	}
	if n != nil {
		n.backend.Conn.Close() // it is replaced when it is needed
	}
	if u == nil || u.dead || u.backend == nil {
		c.mu.Unlock()
		return away
	}
	if !running && !block && pinned == "" {
		u.dead = true
		told := u.overtime
		c.mu.Unlock()
		u.backend.Close()
		return leftOf(told)
	}
	verdict := u.forcedLocked(at, running, block, pinned)
	if verdict == nil {
		c.mu.Unlock()
		if at == canceling && !u.unsent.Load() && u.canceled.CompareAndSwap(false, true) {
			cancelAt(ctx, c.p.deps.Local, u.backend) // not what the client waits for elsewhere
		}
		return busy
	}
	u.dead, c.fatal = true, errEnd
	c.out = wire.Builder(c.out).Error(verdict)
	c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(time.Second))
	c.flush()
	c.conn.Close()
	u.backend.Close()
	return killed
}

// leftOf says what became of a session that goes on. told is that its statement
// was over the budget.
func leftOf(told bool) leaving {
	if told {
		return killed
	}
	return left
}

// overtime returns what a client is told in place of PostgreSQL's word that its
// statement was canceled, which was for a move; nil if f says something else. The
// transaction is rolled back, and the session may go on.
func overtime(f wire.Frame) wire.Frame {
	if e, err := wire.ParseError(f.Body()); err != nil || e.Code != stateCanceled {
		return nil
	}
	return wire.Frame(wire.Builder(nil).Error(&wire.Error{Severity: "ERROR", Code: stateShutdown,
		Message: "meridian: canceling statement: the primary moves to another region",
		Detail:  "The statement ran for too long. It was rolled back."}))
}

// goOn implements leaver for a client of this region.
func (c *client) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.main != nil {
		c.main.canceled.Store(false)
	}
}

// goOn implements leaver for a session of another region's proxy.
func (s *peer) goOn() { s.canceled.Store(false) }

// forcedLocked returns what a session is told that ends because it cannot move; nil
// while it may go on. The caller holds c.mu.
func (u *upstream) forcedLocked(at stage, running, block bool, pinned string) *wire.Error {
	switch {
	case !running && !block:
		return errMoving(pinned)
	case at <= finishing:
		return nil
	case !running, u.mid && u.tracker.Idle():
		return errMoving("its transaction was open for too long")
	case at != terminated:
		return nil
	}
	e := errMoving("its statement ran for too long")
	if _, wrote := u.tracker.Pending(); wrote {
		e.Code, e.Hint = stateInDoubt, "The statement may or may not have been carried out."
		u.c.p.watch.leaks()
	}
	return e
}

// standingLocked says how a client stands on the local PostgreSQL as the
// primary.
func (c *client) standingLocked() (running, block bool, pinned string) {
	u := c.main
	if u == nil || u.dead || u.backend == nil {
		return false, false, ""
	}
	return !u.tracker.Idle() || u.mid, u.tracker.Status != 'I', c.immovable()
}

// bound implements leaver for a client of this region.
func (c *client) bound() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	running, block, pinned := c.standingLocked()
	return boundBy(running || block, pinned)
}

func boundBy(open bool, pinned string) string {
	if pinned == "" && open {
		return openTransaction
	}
	return pinned
}

// bound implements leaver for a session of another region's proxy.
func (s *peer) bound() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.farewell != nil {
		return ""
	}
	return boundBy(s.owed > 0 || s.mid || s.status != 'I', s.pinned)
}

// leave implements leaver for a session of another region's proxy.
func (s *peer) leave(ctx context.Context, at stage) leaving {
	s.mu.Lock()
	running, block := s.owed > 0 || s.mid, s.status != 'I'
	var r *wire.Refusal
	end := func(why string) *wire.Refusal {
		e := errMoving(why)
		return &wire.Refusal{Code: e.Code, Message: e.Message + ": " + e.Detail}
	}
	switch {
	case s.farewell != nil:
		s.mu.Unlock()
		return away
	case at == sparing && s.pinned != "":
	case !running && !block && s.pinned != "":
		r = end(s.pinned)
	case !running && !block:
		r = s.p.notHere("the primary is moving to another region")
	case at <= finishing:
	case !running, s.owed == 0:
		r = end("its transaction was open for too long")
	case at == terminated:
		s.mu.Unlock()
		s.conn.Close() // the secondary says what is in doubt
		s.backend.Close()
		return killed
	}
	if r == nil {
		s.mu.Unlock()
		if at == canceling && s.canceled.CompareAndSwap(false, true) {
			cancelAt(ctx, s.p.deps.Local, s.backend)
		}
		return busy
	}
	s.farewellLocked(r)
	s.mu.Unlock()
	if r.Away {
		return leftOf(s.overtime.Load())
	}
	return killed
}
