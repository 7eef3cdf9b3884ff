package postgres

import (
	"context"

	"meridian/postgres/classify"
	"meridian/postgres/session"
)

// place finds a backend for the group at hand and runs it there.
func (c *client) place(ctx context.Context) error {
	defer c.atHand.Store(false)
	if done, err := c.forestall(ctx); done || err != nil {
		return err
	}
	v := c.view()
	c.mode, c.reads = v.Mode, v.Reads
	d := route(v)
	if c.goesOn() {
		d = routeDecision{toNear, "it goes on there"}
	}
	c.signal()
	c.credit = c.trip(v, d)
	if d.Do == doMove || d.Do == toMain || d.Do == toNear {
		c.p.metrics.routed(d.Do)
	}
	switch d.Do {
	case toNear:
		if v.Lapsed {
			c.leaveMain()
		}
		return c.runNear(ctx, v.Verdict)
	case doFold:
		if c.group.Sent > 0 || !surely(c.group.Messages) { // a part of it was answered, or some of it may fail
			break
		}
		if err := c.reachable(ctx); err != nil { // better now than within the block
			return c.notSent(err)
		}
		c.fold()
		return nil
	case doEmpty:
		if !surely(c.group.Messages) {
			break
		}
		c.endEmpty()
		return nil
	case doMove:
		if err := c.leaveNear(); err != nil {
			return err
		}
	case doFail:
		return c.failBlock(ctx, stateReadOnly, d.Why)
	}
	if v.Here && !v.Lapsed {
		c.leaveStandby()
	}
	return c.runMain(ctx, d.Why)
}

// forestall does what comes before a group has a place: what ends blocks, what is
// read anew, and what the group must wait for or is refused for. It reports whether
// that was all.
func (c *client) forestall(ctx context.Context) (done bool, err error) {
	if done, err := c.endFirst(); done || err != nil {
		return true, err
	}
	if c.mends() {
		return true, nil
	}
	if done, err := c.endPrepared(); done || err != nil {
		return true, err
	}
	if c.group.Sent == 0 {
		c.mu.Lock()
		c.state.Reread(&c.group)
		c.mu.Unlock()
	}
	if e := c.reckon(ctx); e != nil {
		return true, c.fail(e)
	}
	return false, c.condemned(ctx)
}

// view collects what routing needs to know.
func (c *client) view() routeView {
	_, here := c.p.primary()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := routeView{Here: here, Lapsed: c.p.lapsed(), Pinned: c.state.Pinned, Busy: !c.idleLocked(), Block: c.blockLocked(), Movable: c.begin.movable,
		Oversize: c.group.Size() > c.p.cfg.Hold, Lazy: c.state.Lazy(), Began: c.begin.lazy}
	v.Failed = v.Block == onNear && c.near != nil && c.near.tracker.Status == 'E'
	n := 0
	for _, m := range c.group.Messages {
		if m.Kind == 'E' || m.Verdict != nil && m.Kind != 'P' {
			n++
			one := c.state.Resolve(m.Verdict)
			v.Opens = v.Opens || one != nil && !c.group.Ended && (one.Block == classify.Begin || one.Undone())
			v.Verdict = stricter(v.Verdict, one)
			c.promiseLocked(&v, m.Verdict, one)
		} else if c.views(m) {
			c.promiseLocked(&v, m.Stmt.Verdict, c.state.Resolve(m.Stmt.Verdict))
		}
	}
	if n > 1 && v.Sets {
		v.Verdict = changesPromise
	}
	if c.signals.near && v.Verdict != nil {
		v.Verdict, v.Reads = signalsHere, false // whatever it was promised: a process is on one server alone
	}
	v.Alone = n == 1
	v.Single = v.Alone && v.Verdict.Count == 1
	return v
}

// views reports whether a message that runs nothing takes the one view that the
// open block keeps: PostgreSQL needs a snapshot to parse a statement, and to bind
// its parameters.
func (c *client) views(m session.Message) bool {
	return c.begin.steady && !c.begin.viewed && m.Stmt != nil && reads(m.Stmt.Verdict)
}

// signalsHere is the verdict on what signals sessions that stand on the standby.
var signalsHere = &classify.Verdict{Where: classify.Standby, Why: "it signals a process of this server", Count: 1}

// blockLocked returns where a block is open. The primary may have opened or
// closed one since.
func (c *client) blockLocked() place {
	if c.block == onNear || c.block == deferred {
		return c.block
	}
	if c.broken || c.main != nil && !c.main.dead && c.main.tracker.Status != 'I' {
		return onMain
	}
	return nowhere
}

var unknownPortal = &classify.Verdict{Where: classify.Either, Why: "a portal that is not known here", Block: classify.Inside, Count: 1}

// stricter joins the verdicts of a group's statements.
func stricter(a, b *classify.Verdict) *classify.Verdict {
	if b == nil {
		b = unknownPortal
	}
	switch {
	case a == nil:
		return b
	case a.Where == classify.Primary:
		return a
	case b.Where == classify.Primary:
		return b
	case a.Plain:
		return b
	}
	return a
}
