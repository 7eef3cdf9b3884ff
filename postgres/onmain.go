package postgres

import (
	"context"

	"meridian"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// runMain runs the group at hand on the primary.
func (c *client) runMain(ctx context.Context, why string) error {
	if c.released.data && c.near != nil && len(c.p.demand().Quorums) > 0 { // the rest of a group moves
		c.stand().showed(c.near.on)
	}
	if err := c.abandonNear(); err != nil {
		return err
	}
	if c.signals.near { // never with a process of this server
		c.settle()
		return c.fail(&wire.Error{Severity: "ERROR", Code: stateNotSent,
			Message: "meridian: the session that it signals is served by this region's standby, where the statement cannot run now: " + why})
	}
	floor := c.ahead(ctx)
	err := c.reach(ctx, nil)
	if err == nil && (c.main.tracker.Unsure(&c.group) || c.asksLocked(floor)) {
		c.mu.Unlock()
		if err = c.answered(ctx); err == nil {
			err = c.reach(ctx, nil)
		}
	}
	if err != nil {
		if err := c.failAgain(err); err != nil {
			return err
		}
		return c.notSent(err)
	}
	if c.broken { // meanwhile
		c.mu.Unlock()
		c.mends()
		return nil
	}
	k := kept{behind: c.behind, suppress: c.released.frames, kind: c.kind(), why: why, credit: c.credit, floor: floor}
	c.credit = nil
	if c.block == deferred {
		k.begin, k.looked = c.begin.sql, c.begin.looked
		c.block, c.begin = nowhere, begun{}
	}
	k.standIns, c.signals.standIns = c.signals.standIns, nil
	k.mark = c.marks.next(c.markView(k.begin != ""))
	n := c.group.Executes
	c.state.Tried()
	if c.main.backend == nil {
		k.group = c.group.Take(c.spareGroup)
		c.spareGroup = session.Group{}
	} else {
		k.group = c.group
	}
	c.main.putLocked(k)
	placed := c.main.mid
	c.mu.Unlock()
	c.count(n)
	c.endGroup()
	c.placed = placed
	return nil
}

// asksLocked asks the primary for the columns of statements that the group at hand
// brings, where they may be others than the client was told.
func (c *client) asksLocked(floor meridian.Token) bool {
	u := c.main
	if !u.tracker.Doubts(&c.group) {
		return false
	}
	u.aheadLocked(floor)
	u.bringLocked(nil)
	u.out = u.tracker.Ask(u.out, &c.group)
	return true
}

// kind names the span of the group at hand.
func (c *client) kind() string {
	for _, m := range c.group.Messages {
		if m.Verdict != nil && !m.Verdict.Plain {
			return "postgres.write"
		}
	}
	return "postgres.read"
}

// count notes statements that ran on main.
func (c *client) count(n int) {
	if c.main.backend != nil {
		c.stood(c.p.own(), n)
		return
	}
	c.env.note(func(o *meridian.Observation) { o.Forwarded += n })
}

// bringLocked sends what the backend lacks of the session's state.
func (u *upstream) bringLocked(messages []session.Message) {
	if u.tracker.Skipping() || u.tracker.Failed() { // it would be passed over, or fail, as they are
		return
	}
	sql := u.c.state.Missing(u.side)
	switch {
	case len(sql) == 0:
	case u.backend == nil:
		u.out = wire.Builder(u.out).JSON(wire.FrameState, wire.State{SQL: sql})
	default:
		for _, s := range sql {
			u.out = u.tracker.Hidden(u.out, s)
		}
	}
	u.out = u.tracker.Ahead(u.out, messages)
}

// send passes a message of a group that is placed on main.
func (c *client) send(ctx context.Context, m session.Message) {
	c.tripLater(m)
	c.signal()
	u := c.main
	c.mu.Lock()
	if u.moved {
		c.mu.Unlock()
		if err := c.resume(ctx); err != nil {
			c.mu.Lock()
			c.fatal = err
			c.mu.Unlock()
			return
		}
		if c.skipping {
			c.skip(m.Frame)
			return
		}
		u = c.main
		c.mu.Lock()
	}
	if u.dead { // its goroutine has answered for the group
		c.mu.Unlock()
		c.endGroup()
		c.skipping = true
		if m.Kind == 'S' {
			c.skip(m.Frame)
		}
		return
	}
	c.marks.unsure()
	u.unsent.Store(true)
	if n := len(u.flights); n > 0 {
		u.flights[n-1].end = settling(u.flights[n-1].end, c.signals.standIns)
		c.signals.standIns = nil
	}
	u.out = u.tracker.Encode(u.tracker.Bring(u.out, &m), m)
	u.mid = !m.Ends() || u.tracker.Skipping()
	ends := !u.mid
	if n := len(u.kept); n > 0 {
		u.kept[n-1].group.Add(m)
		u.trim()
	}
	c.mu.Unlock()
	if m.Kind == 'E' {
		c.count(1)
	}
	if ends {
		c.endGroup()
	}
	if len(u.out) > full {
		u.flush()
	}
}

// copyData passes COPY data on, or drops it where nobody waits for it.
func (c *client) copyData(ctx context.Context, f wire.Frame) error {
	if len(c.group.Messages) > 0 && !c.placed && !c.skipping && !c.inBroken() {
		v := c.view()
		d := route(v)
		if c.goesOn() || d.Do != toMain && d.Do != doMove {
			return nil // COPY would not stay there: PostgreSQL passes over data that nothing waits for
		}
		if d.Do == doMove {
			if err := c.leaveNear(); err != nil {
				return err
			}
		}
		c.credit = c.trip(v, d)
		if err := c.runMain(ctx, "COPY data"); err != nil {
			return err
		}
	}
	c.mu.Lock()
	u := c.main
	live := u != nil && !u.dead && !u.tracker.Idle()
	if live {
		u.tracker.CopyData(f.Type())
	}
	c.mu.Unlock()
	if live {
		if u.out = append(u.out, f...); len(u.out) > full {
			u.flush()
		}
	}
	return nil
}

// notSent answers for a group that could not be sent.
func (c *client) notSent(err error) error {
	if unreachable(err) {
		c.away(err.Error())
	}
	e := pgError(err)
	c.mu.Lock()
	inBlock := c.blockLocked() != nowhere
	c.mu.Unlock()
	if inBlock {
		return &fatalError{e}
	}
	return c.fail(e)
}

// unreachable reports whether err says that a PostgreSQL cannot be reached.
func unreachable(err error) bool {
	k := meridian.KindOf(err)
	return k == meridian.PrimaryUnavailable || k == meridian.Unavailable
}
