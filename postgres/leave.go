package postgres

import (
	"context"
	"errors"
	"fmt"

	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// leaveStandby gives the backend on the local PostgreSQL back that was a
// standby's: it is the primary now, and one backend is enough.
func (c *client) leaveStandby() {
	if c.near == nil || c.block == onNear {
		return
	}
	c.mu.Lock()
	n := c.near
	c.near = nil
	c.mu.Unlock()
	_, up := n.on.watch.stands()
	n.backend.Release((up || len(c.p.replicas) == 1) && n.tracker.Idle() && n.tracker.Status == 'I')
}

// abandonNear takes a group that was partly flushed on the standby away from
// it. The client has seen only what describes, and will not see it again.
func (c *client) abandonNear() error {
	if c.group.Sent == 0 || c.near == nil {
		return nil
	}
	if c.released.data { // the client has the results: they must not come again
		if ran := session.Ran(c.group.Messages[:c.group.Sent]); c.block == nowhere {
			c.behind = ran
		} else {
			c.begin.looked = c.begin.looked || ran == session.Looked
		}
		c.group.Drop(c.group.Sent)
		defer func() { c.released = released{} }() // what else settle reads is reported
	} else {
		defer c.takenBack()
	}
	c.group.Sent = 0
	if err := c.near.sync(c); err != nil {
		c.closeNear()
		return nil
	}
	if err := c.near.settle(c); err != nil {
		c.closeNear()
		return nil
	}
	c.near.open.Store(false)
	return nil
}

// closeNear closes a backend that is of no more use.
func (c *client) closeNear() {
	c.mu.Lock()
	n := c.near
	c.near = nil
	c.mu.Unlock()
	if n != nil {
		n.backend.Close()
	}
	if c.block == onNear {
		c.block, c.begin = nowhere, begun{}
	}
}

// moveRefused runs on the primary what the standby refused.
func (c *client) moveRefused(ctx context.Context, r *refusal) error {
	c.hold, c.released.held, c.released.heldData = c.hold[:0], 0, false
	c.group.Sent = 0 // read to its end
	c.p.metrics.routed("refused")
	if c.env != nil {
		c.credit = c.env.trip()
	}
	c.log.Debug("moved to the primary", "why", r.why)
	unlike := c.takenBack()
	if r.remember {
		for _, m := range c.group.Messages {
			if v := m.Verdict; v != nil && (m.Kind == 'E' || m.Kind == 'Q') && c.group.Executes == 1 {
				c.p.verdicts.Refused(m.Text, r.why)
				c.mu.Lock()
				c.state.Rejudge(m.Text)
				c.mu.Unlock()
			}
		}
	}
	c.mu.Lock()
	cut := c.cut
	c.mu.Unlock()
	if c.block == onNear {
		if err := c.leaveNear(); err != nil {
			return err
		}
	} else if cut { // as it moved
		return c.fail(errCanceled())
	}
	if unlike || c.near != nil && c.near.tracker.Status != 'I' { // or its beginning opened a block there
		c.closeNear()
	}
	names, ended := c.group.Names(), c.group.Ended
	if err := c.runMain(ctx, r.why); err != nil || !names || !ended {
		return err
	}
	return c.answered(ctx)
}

// answered waits until the primary has answered what it was sent, or waits for COPY
// data: what the statements' names mean is not known before. The standby's error may
// be the primary's too, which has passed over the same messages then, or may not.
func (c *client) answered(ctx context.Context) error {
	c.mu.Lock()
	u := c.main
	if u == nil || u.dead || u.tracker.Quiet() || u.tracker.Awaits() {
		c.mu.Unlock()
		return nil
	}
	quiet := make(chan struct{})
	u.quiet = quiet
	c.mu.Unlock()
	u.flush()
	c.p.loops.Slow()
	select {
	case <-quiet:
	case <-u.done:
	case <-ctx.Done():
	}
	return nil
}

// quieted lets the session go on that waits for its answers.
func (u *upstream) quieted() {
	if u.quiet != nil {
		close(u.quiet)
		u.quiet = nil
	}
}

// takenBack notes that the group at hand, which the standby was sent, begins anew.
func (c *client) takenBack() (unlike bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.TakeBack(&c.group)
}

// leaveNear ends the READ ONLY block on the standby: it is opened again on the
// primary, in the flight of the statement that needs it there.
func (c *client) leaveNear() error {
	if _, err := c.near.backend.Run("ROLLBACK"); err != nil {
		return c.blockLost(err)
	}
	c.mu.Lock()
	c.near.tracker.Status = 'I'
	c.mu.Unlock()
	c.block = deferred
	return nil
}

// failBlock refuses a statement in a READ ONLY block that cannot move.
func (c *client) failBlock(ctx context.Context, code, why string) error {
	// PostgreSQL must take the block for failed, too.
	var e *wire.Error
	if _, err := c.near.backend.Run("RELEASE SAVEPOINT meridian_cannot_move"); !errors.As(err, &e) {
		return c.blockLost(fmt.Errorf("fail a block: %w", err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.near.tracker.Status = 'E'
	c.state.Tried()
	c.failLocked(&wire.Error{Severity: "ERROR", Code: code,
		Message: "meridian: this READ ONLY block is open on a standby and cannot move to the primary any more: " + why,
		Hint:    "Begin the block without READ ONLY, or run the statement outside of it."})
	return nil
}

// notBrought answers for a group that needs what could not be brought to the open
// block on the standby, which has failed with it.
func (c *client) notBrought(ctx context.Context, err error) error {
	var e *wire.Error
	if !errors.As(err, &e) || e.Fatal() {
		return c.blockLost(err)
	}
	if r := refused(e, !c.begin.lazy); r.moves && c.begin.movable {
		if err := c.leaveNear(); err != nil {
			return err
		}
		return c.runMain(ctx, r.why)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.near.tracker.Status = 'E'
	c.failLocked(e)
	return nil
}

// blockLost ends the session: the client must not go on as if its block were.
func (c *client) blockLost(err error) error {
	c.closeNear()
	return &fatalError{&wire.Error{Code: stateConnection, Message: "meridian: the block on the standby was lost: " + err.Error()}}
}
