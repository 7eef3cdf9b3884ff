package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// Paused counts the sessions that stood on the local PostgreSQL when it was
// paused.
type Paused struct {
	Held   int // go on when the pause ends, here or on another primary
	Killed int // were ended: they could not move
}

// A leaver is a session that stands on the local PostgreSQL.
type leaver interface {
	// leave takes the session off the local PostgreSQL if that is possible at
	// this stage of a pause.
	leave(context.Context, stage) leaving
	// bound says why the session cannot leave now, or "".
	bound() string
	// runs reports whether PostgreSQL, as the primary, owes the session an
	// answer.
	runs() bool
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
	killed                // it was ended
)

// cancelGrace is how long canceled statements have to end.
const cancelGrace = 250 * time.Millisecond

// Pause prepares the local PostgreSQL for a stop: from now on no transaction
// begins there. Those that are open may end within budget; then they are
// ended, as are the sessions that cannot move: their clients get 57P01. All
// other sessions of clients and peers go on and notice nothing but the wait.
// When Pause returns, no session has a connection to the local PostgreSQL. It
// fails only if ctx ends first. Resume ends the pause.
func (p *Proxy) Pause(ctx context.Context, budget time.Duration) (Paused, error) {
	return p.pause(ctx, func(spent time.Duration) (stage, bool) {
		switch {
		case spent >= budget+cancelGrace:
			return terminated, true
		case spent >= budget:
			return canceling, true
		}
		return finishing, true
	})
}

// PauseSparing is a Pause that ends nobody. If somebody stands in the way when
// the budget is over it fails, with the kind Unavailable and what Bound says.
func (p *Proxy) PauseSparing(ctx context.Context, budget time.Duration) (Paused, error) {
	return p.pause(ctx, func(spent time.Duration) (stage, bool) { return sparing, spent < budget })
}

// Bound says how many sessions could not move now, and why, or "". An open
// transaction is no reason that lasts; open says whether it counts.
func (p *Proxy) Bound(open bool) string {
	n, reasons := 0, map[string]int{}
	for _, s := range p.leavers() {
		if why := s.bound(); why != "" && (open || why != openTransaction) {
			n++
			reasons[why]++
		}
	}
	if n == 0 {
		return ""
	}
	var each []string
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		each = append(each, fmt.Sprintf("%d for %s", reasons[why], why))
	}
	who := fmt.Sprintf("%d sessions", n)
	if n == 1 {
		who = "1 session"
	}
	return who + " cannot move: " + strings.Join(each, ", ")
}

// openTransaction is why a session in one is bound.
const openTransaction = "an open transaction"

// pause takes all sessions off the local PostgreSQL. plan says for each time
// since its begin how, or that it is given up.
func (p *Proxy) pause(ctx context.Context, plan func(spent time.Duration) (stage, bool)) (Paused, error) {
	p.gate.paused.Store(true)
	p.gate.broadcast()
	var n Paused
	began := time.Now()
	for {
		at, goOn := plan(time.Since(began))
		if !goOn {
			return n, meridian.WithKind(meridian.Unavailable, errors.New(cmp.Or(p.Bound(true), "the sessions do not come to an end")))
		}
		waits := 0
		for _, s := range p.leavers() {
			switch s.leave(ctx, at) {
			case left:
				n.Held++
			case killed:
				n.Killed++
			case busy:
				waits++
			}
		}
		if waits == 0 {
			break
		}
		p.gate.await(ctx, 5*time.Millisecond)
		if err := ctx.Err(); err != nil {
			return n, fmt.Errorf("pause: %d transactions are open: %w", waits, err)
		}
	}
	p.pool.Flush()
	p.metrics.killed.Add(float64(n.Killed))
	p.deps.Log.Info("paused", "held", n.Held, "killed", n.Killed, "took", time.Since(began))
	return n, nil
}

// Resume ends a pause. What was held goes to the primary that the map names.
func (p *Proxy) Resume() {
	p.gate.paused.Store(false)
	p.gate.broadcast()
}

// await waits for a change, at most for d.
func (g *barrier) await(ctx context.Context, d time.Duration) {
	changed := g.enter()
	defer g.exit()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
	}
}

func (p *Proxy) leavers() (all []leaver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		all = append(all, c)
	}
	for _, s := range p.peers {
		all = append(all, s)
	}
	return all
}

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
		c.mu.Unlock()
		u.backend.Close()
		return left
	}
	verdict := u.forcedLocked(at, running, block, pinned)
	if verdict == nil {
		c.mu.Unlock()
		if at == canceling && u.canceled.CompareAndSwap(false, true) {
			c.p.cancel(ctx, c.key)
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
		return left
	}
	return killed
}
