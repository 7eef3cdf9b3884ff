package postgres

import (
	"context"
	"errors"
	"fmt"

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
}

// openNear gets a backend on a replica.
func (c *client) openNear(ctx context.Context, on *replica) error {
	if on.name != "" { // one that is frozen says nothing
		bounded, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout+c.p.cfg.QueueTimeout)
		defer cancel()
		ctx = bounded
	}
	b, err := on.pool.Acquire(ctx, c.who(), c.role, c.params)
	if err != nil {
		return err
	}
	c.beside(b)
	side := session.NewSide()
	n := &near{on: on, backend: b, side: side, lapsed: c.p.lapsed()}
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

// runNear runs the group at hand on the standby, once that is new enough, and
// moves it to the primary if the standby cannot.
func (c *client) runNear(ctx context.Context, v *classify.Verdict) error {
	switch {
	case c.goesOn():
	case c.signals.near: // it must run where the process is
		c.at = c.signals.on
	default:
		if c.block != onNear && c.misjudged() {
			return c.runMain(ctx, "the catalogues changed and are being read again")
		}
		switch d := c.await(ctx); d.Do {
		case freshServe:
		case freshStale:
			c.stale(d.Why)
		default:
			return c.tooOld(ctx, d)
		}
	}
	if err := c.prepareNear(ctx, v); err != nil {
		if c.block == onNear {
			return c.blockLost(err)
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
	defer c.nearBusy.Store(false)
	r, err := c.near.exchange(c)
	switch {
	case err != nil && c.doomed.Load():
		return c.executed(err)
	case err != nil && c.block == onNear:
		return c.blockLost(err)
	case err != nil && c.released.data:
		c.closeNear()
		return &fatalError{&wire.Error{Code: stateConnection, Message: "meridian: the standby was lost: " + err.Error()}}
	case err != nil && !c.retried: // it may have been idle when PostgreSQL restarted
		if len(c.p.replicas) > 1 { // and so may the others of its pool be
			c.avoid = c.near.on
			c.near.on.watch.doubt(err)
			c.near.on.pool.Flush()
		}
		c.closeNear()
		c.hold, c.released.held, c.group.Sent, c.retried = c.hold[:0], 0, 0, true
		return c.runNear(ctx, v)
	case err != nil:
		c.closeNear()
		c.hold, c.released.held, c.group.Sent = c.hold[:0], 0, 0
		return c.runMain(ctx, "the standby was lost: "+err.Error())
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
	if c.near != nil && (c.near.lapsed != c.p.lapsed() || c.near.on != c.at) && c.group.Sent == 0 {
		c.leaveStandby() // its PostgreSQL is another thing now, or another one is better
	}
	if c.near == nil {
		if err := c.openNear(ctx, c.at); err != nil {
			return err
		}
	}
	use := uses(c.group.Messages)
	c.mu.Lock()
	sql := c.state.Missing(c.near.side, use...)
	c.mu.Unlock()
	if len(sql) == 0 {
		return nil
	}
	if _, err := c.near.backend.Run(sql...); err != nil {
		c.closeNear()
		return fmt.Errorf("bring the session's state: %w", err)
	}
	return nil
}

// exchange sends the group at hand and holds its replies until it is answered.
// It returns the standby's refusal if the group may move.
func (n *near) exchange(c *client) (*refusal, error) {
	c.mu.Lock()
	n.out, c.cut = n.out[:0], false
	for _, m := range c.group.Messages[c.group.Sent:] {
		n.out = n.tracker.Encode(n.out, m)
	}
	c.mu.Unlock()
	c.group.Sent = len(c.group.Messages)
	if last := c.group.Messages[len(c.group.Messages)-1]; !c.group.Ended && last.Kind != 'H' {
		n.out = wire.Builder(n.out).Message('H')
	}
	sent := make(chan error, 1)
	defer c.running.Store(false)
	if len(n.out) <= atOnce {
		_, err := n.backend.Conn.Write(n.out)
		sent <- err
		c.running.Store(true)
	} else {
		c.running.Store(true)
		go func() { _, err := n.backend.Conn.Write(n.out); sent <- err }()
	}
	r, err := n.replies(c)
	if err != nil {
		n.backend.Conn.Close() // the writer ends with it
	}
	return r, errors.Join(err, <-sent)
}

// atOnce is what a socket takes while nobody reads at the other end: a longer
// flight is written while its replies are read, or both ends might wait.
const atOnce = 16 << 10

// replies reads until the group, or what was flushed of it, is answered.
func (n *near) replies(c *client) (*refusal, error) {
	for {
		if !c.group.Ended && (n.tracker.Idle() || n.tracker.Skipping()) {
			return nil, nil
		}
		f, err := n.backend.Reader.Frame()
		if err != nil {
			return nil, err
		}
		if f.Type() == 'E' {
			c.mu.Lock()
			f = n.tracker.Words(f)
			c.mu.Unlock()
		}
		if f.Type() == 'E' && !c.released.data {
			e, err := wire.ParseError(f.Body())
			if err != nil {
				return nil, err
			}
			if e.Fatal() {
				return nil, e
			}
			c.spares(e)
			if r := refused(e, c.block == onNear && !c.begin.lazy); r.moves && (c.block != onNear || c.begin.movable) && !c.signals.judged(e) {
				return &r, n.drain(c, f)
			}
		}
		c.mu.Lock()
		show := n.tracker.Reply(f)
		differs := n.tracker.Differs()
		c.mu.Unlock()
		if differs && !c.released.data {
			return &refusal{moves: c.block != onNear || c.begin.movable, why: "its columns are not those that the client was told"}, n.passOver(c)
		}
		if show {
			c.keep(f)
		}
		if f.Type() == 'Z' && n.tracker.Idle() {
			return nil, nil
		}
		if len(c.hold) > c.p.cfg.Hold {
			if why := c.showed(); why != "" {
				return nil, errShut(why)
			}
			c.put()
			if err := c.flush(); err != nil {
				return nil, err
			}
		}
	}
}

// drain reads away the rest of a group that the standby refused.
func (n *near) drain(c *client, f wire.Frame) error {
	c.mu.Lock()
	n.tracker.Reply(f)
	c.mu.Unlock()
	return n.passOver(c)
}

// passOver reads away the rest of a group, which is ended there.
func (n *near) passOver(c *client) error {
	if !c.group.Ended {
		c.mu.Lock()
		sync := n.tracker.Encode(nil, session.Message{Kind: 'S', Frame: wire.Frame(wire.Builder(nil).Sync())})
		c.mu.Unlock()
		if _, err := n.backend.Conn.Write(sync); err != nil {
			return err
		}
	}
	return n.settle(c)
}

// settle reads to the end of what was sent and shows nobody.
func (n *near) settle(c *client) error {
	for {
		f, err := n.backend.Reader.Frame()
		if err != nil {
			return err
		}
		c.mu.Lock()
		n.tracker.Reply(f)
		done := f.Type() == 'Z' && n.tracker.Idle()
		c.mu.Unlock()
		if done {
			return nil
		}
	}
}

// keep holds a reply back.
func (c *client) keep(f wire.Frame) {
	if f.Type() == 'S' {
		if name, value, err := wire.ParseParameter(f.Body()); err == nil && honest(name, value) != value {
			c.hold = wire.Builder(c.hold).Parameter(name, honest(name, value))
			return
		}
	}
	c.hold = append(c.hold, f...)
	switch f.Type() {
	case '1', '2', '3', 'n', 't', 'T':
		c.released.held++
	case 'D', 'C', 'I', 's', 'd', 'c', 'H', 'E', 'V':
		c.released.heldData = true
	}
}

// put puts out what is held.
func (c *client) put() {
	c.mu.Lock()
	c.out = append(c.out, c.hold...)
	c.mu.Unlock()
	c.hold = c.hold[:0]
	c.released.frames += c.released.held
	c.released.data = c.released.data || c.released.heldData
	c.released.held, c.released.heldData = 0, false
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
	return c.runMain(ctx, r.why)
}

// finishNear passes the replies on and notes what became of the block.
func (c *client) finishNear() {
	c.put()
	if !c.group.Ended { // flushed: the group goes on
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
	for _, m := range c.group.Messages {
		switch v := m.Verdict; {
		case v == nil:
		case v.Block == classify.Begin && c.block != onNear:
			c.begin = begun{sql: string(m.Text), movable: (v.ReadOnly || v.Lazy) && v.Count == 1, steady: v.Steady, lazy: v.Lazy}
		case !v.Plain || c.begin.steady:
			c.begin.movable = false
		}
	}
	c.block = onNear
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
	c.out = wire.Builder(c.out).Error(&wire.Error{Severity: "ERROR", Code: code,
		Message: "meridian: this READ ONLY block is open on a standby and cannot move to the primary any more: " + why,
		Hint:    "Begin the block without READ ONLY, or run the statement outside of it."})
	if c.group.Ended {
		c.out = wire.Builder(c.out).Ready('E')
		c.endGroup()
		return nil
	}
	return &fatalError{&wire.Error{Code: code, Message: "meridian: " + why}}
}

// blockLost ends the session: the client must not go on as if its block were.
func (c *client) blockLost(err error) error {
	c.closeNear()
	return &fatalError{&wire.Error{Code: stateConnection, Message: "meridian: the block on the standby was lost: " + err.Error()}}
}
