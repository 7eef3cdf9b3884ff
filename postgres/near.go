package postgres

import (
	"context"
	"fmt"
	"sync/atomic"

	"meridian/postgres/classify"
	"meridian/postgres/pool"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A near is the session's backend on the local standby.
type near struct {
	on      *replica
	backend *pool.Backend
	side    *session.Side
	tracker *session.Tracker
	out     []byte
	lapsed  bool // PostgreSQL is the primary's, whose right to act has ended
	spoilt  bool // what side has noted may not be there
	early   bool // it was taken before what had been defined was replayed

	open atomic.Bool // a group was flushed there, and goes on
	lent atomic.Bool // the backend is closed: others waited for its place
}

// openNear gets a backend on a replica.
func (c *client) openNear(ctx context.Context, on *replica) error {
	if on.name != "" { // one that is frozen says nothing
		bounded, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout+c.p.cfg.QueueTimeout)
		defer cancel()
		ctx = bounded
	}
	early := c.p.catalogue.behind()
	b, err := on.pool.Acquire(ctx, c.who(), c.role, c.params)
	if err != nil {
		return err
	}
	if on == c.p.own() {
		c.p.gate.returned()
	}
	c.beside(b)
	side := session.NewSide()
	n := &near{on: on, backend: b, side: side, lapsed: c.p.lapsed(), early: early}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.tracker = session.NewTracker(c.state, side)
	n.tracker.Compares = true
	c.near = n
	return nil
}

// who names for whom the session is where server connections are shared out:
// the function whose environment it is, or the person's role.
func (c *client) who() string {
	if c.env == nil {
		return "role " + c.role
	}
	return c.env.function
}

// runNear runs the group at hand on the standby, once that is new enough, and
// moves it to the primary if the standby cannot.
func (c *client) runNear(ctx context.Context, v *classify.Verdict) error {
	if served, err := c.freshEnough(ctx); !served {
		return err
	}
	if err := c.prepareNear(ctx, v); err != nil {
		if c.block == onNear {
			return c.notBrought(ctx, err)
		}
		if c.elsewhere(err) {
			return c.runNear(ctx, v)
		}
		if c.p.away() != "" {
			return c.fail(pgError(err))
		}
		return c.runMain(ctx, "the standby cannot: "+err.Error())
	}
	if err := c.readOnly(); err != nil {
		c.closeNear()
		return c.runMain(ctx, "it cannot be kept from writing: "+err.Error())
	}
	end := c.span("postgres.read", or(c.near.on.name, string(c.p.cfg.Region)), why(v))
	defer end()
	c.nearBusy.Store(true)
	defer c.nearRested(c.near)
	r, err := c.near.exchange(c)
	switch {
	case err != nil:
		return c.nearLost(ctx, v, err)
	case r != nil && !r.moves:
		c.hold, c.released.held, c.released.heldData = c.hold[:0], 0, false
		return c.failBlock(ctx, stateNotSupported, r.why)
	case r != nil:
		return c.moveRefused(ctx, r)
	}
	if why := c.showed(); why != "" {
		return c.takeBack(ctx, why)
	}
	c.finishNear()
	return nil
}

// nearRested notes that the client is waited for, for the rest of its group or for
// another one.
func (c *client) nearRested(n *near) {
	n.open.Store(c.group.Sent > 0)
	c.nearBusy.Store(false)
}

// freshEnough finds a standby that may answer the group at hand. Where none is to,
// it reports false, and the group has gone where it must.
func (c *client) freshEnough(ctx context.Context) (served bool, err error) {
	switch {
	case c.goesOn():
		return true, nil
	case c.signals.near: // it must run where the process is
		c.at = c.signals.on
		return true, nil
	case c.block != onNear && c.misjudged():
		return false, c.runMain(ctx, "the catalogues changed and are being read again")
	}
	switch d := c.await(ctx); d.Do {
	case freshServe:
	case freshStale:
		c.stale(d.Why)
	default:
		return false, c.tooOld(ctx, d)
	}
	return true, nil
}

// nearLost does what can be done for a group whose standby was lost under it: once
// more there, for its connection may have been idle when PostgreSQL restarted, or
// on the primary. What the client has seen of it cannot come again.
func (c *client) nearLost(ctx context.Context, v *classify.Verdict, err error) error {
	switch {
	case c.doomed.Load():
		return c.executed(err)
	case c.block == onNear:
		return c.blockLost(err)
	case c.released.data:
		c.closeNear()
		return &fatalError{&wire.Error{Code: stateConnection, Message: "meridian: the standby was lost: " + err.Error()}}
	}
	again := !c.retried
	if again && len(c.p.replicas) > 1 && !c.near.lent.Load() { // the others of its pool may be lost too
		c.avoid = c.near.on
		c.near.on.watch.doubt(err)
		c.near.on.pool.Flush()
	}
	c.closeNear()
	c.takenBack()
	c.hold, c.released.held, c.group.Sent = c.hold[:0], 0, 0
	if again {
		c.retried = true
		return c.runNear(ctx, v)
	}
	return c.runMain(ctx, "the standby was lost: "+err.Error())
}

// misjudged reports whether the group at hand may have been judged by names that
// are not those of the catalogues any more.
func (c *client) misjudged() bool {
	if c.p.catalogue.behind() {
		return true
	}
	for _, m := range c.group.Messages {
		if m.Verdict != nil && m.Verdict.Names != nil && !c.p.judge.Current(m.Verdict) {
			return true
		}
	}
	return false
}

func why(v *classify.Verdict) string {
	if v == nil {
		return "it runs nothing"
	}
	return v.Why
}

// prepareNear brings the standby's backend to where the session is.
func (c *client) prepareNear(ctx context.Context, v *classify.Verdict) error {
	switch n := c.near; {
	case n == nil || c.group.Sent > 0:
	case (n.spoilt || n.lent.Load()) && c.block != onNear:
		c.closeNear()
	case n.lapsed != c.p.lapsed() || n.on != c.at:
		c.leaveStandby() // its PostgreSQL is another thing now, or another one is better
	case n.early && n.backend.Old() && c.block != onNear:
		c.leaveStandby() // a setting of the role's was on its way as the session began
	}
	if c.near == nil {
		if err := c.openNear(ctx, c.at); err != nil {
			return err
		}
	}
	if c.group.Sent > 0 || c.near.tracker.Status == 'E' { // it would end the group's transaction, or fail
		return nil
	}
	c.mu.Lock()
	sql := c.state.Missing(c.near.side)
	c.mu.Unlock()
	if len(sql) == 0 {
		return nil
	}
	if _, err := c.near.backend.Run(sql...); err != nil {
		if c.near.spoilt = true; c.block != onNear {
			c.closeNear()
		}
		return fmt.Errorf("bring the session's state: %w", err)
	}
	return nil
}

// finishNear passes the replies on and notes what became of the block.
func (c *client) finishNear() {
	c.put()
	if !c.group.Ended { // flushed: the group goes on
		if c.block == onNear && c.near.tracker.Over() {
			c.block, c.begin = nowhere, begun{}
		}
		if c.released.data && c.group.Size() > c.p.cfg.Hold {
			c.group.Forget()
		}
		return
	}
	n := c.group.Executes
	c.stood(c.near.on, n)
	c.followBlock()
	c.begin.viewed = c.begin.viewed || c.reads
	c.signalled()
	c.endGroup()
}

// followBlock notes whether a READ ONLY block is open on the standby now.
func (c *client) followBlock() {
	if c.near.tracker.Status == 'I' {
		c.block, c.begin = nowhere, begun{}
		return
	}
	for i, m := range c.group.Messages {
		switch v := m.Verdict; {
		case v == nil:
		case v.Block == classify.Begin && c.block != onNear:
			c.begin = begun{sql: string(m.Text), movable: (v.ReadOnly || v.Lazy) && v.Count == 1, steady: v.Steady, lazy: v.Lazy}
			c.begin.looked = session.Ran(c.group.Messages[:i]) == session.Looked
		case !v.Plain || c.begin.steady:
			c.begin.movable = false
		}
	}
	c.begin.looked = c.begin.looked || session.Ran(c.group.Messages) == session.Looked
	c.block = onNear
}
