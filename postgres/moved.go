package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A kept is a group that was placed on the primary's stream, until it is
// answered: it may have to be sent again, to another primary.
type kept struct {
	group    session.Group
	begin    string         // the BEGIN that was answered before, or ""
	looked   bool           // and in whose transaction something was read before
	behind   session.Behind // what of the same group was answered before
	suppress int            // replies that the client has already
	kind     string         // names its span
	why      string
	credit   func()         // for the trip that it is, or nil
	sent     bool           // to the stream
	mark     mark           // what names its transaction
	standIns []*standIn     // of what it signals
	floor    meridian.Token // what its session was shown elsewhere
}

// keepAtMost is how many bytes of groups one session keeps. What is sent
// beyond it cannot be sent again.
const keepAtMost = 1 << 20

// reach readies the primary's backend for a group. For as long as the budget
// allows it waits for a primary that takes it. If it returns nil c.mu is
// locked, and what was kept from an earlier stream is placed.
func (c *client) reach(ctx context.Context, h *held) error {
	for {
		err := c.tryMain(ctx)
		if err == nil {
			return nil
		}
		if h == nil {
			h = c.p.hold()
		}
		if err := c.queue(ctx, h, err); err != nil {
			return err
		}
	}
}

// tryMain is one attempt at it.
func (c *client) tryMain(ctx context.Context) error {
	if _, here := c.p.primary(); here && !c.standsOnMain() {
		if why := c.p.gate.shut(false); why != "" {
			return errShut(why)
		}
	}
	if err := c.ensureMain(ctx); err != nil {
		return err
	}
	if c.main.backend != nil && c.block == nowhere {
		if d := c.await(ctx); d.Do == freshRefuse {
			return &finalError{&wire.Error{Severity: "ERROR", Code: stateTooOld, Message: "meridian: " + d.Why}}
		}
	}
	if err := c.touch(ctx); err != nil {
		return err
	}
	if err := c.unclaimed(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	u := c.main
	why := ""
	switch {
	case u.dead:
		why = "the connection to the primary was lost"
	case u.backend != nil:
		why = c.p.gate.shut(u.tracker.Idle() && u.tracker.Status != 'I')
	}
	if why != "" {
		c.mu.Unlock()
		return errShut(why)
	}
	c.againLocked(u)
	return nil
}

// standsOnMain reports whether the session has a backend on the primary.
func (c *client) standsOnMain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.main != nil && !c.main.dead
}

// errShut is the error of what may be sent a little later.
func errShut(why string) error {
	return meridian.WithKind(meridian.Unavailable, errors.New(why))
}

// queue waits until it makes sense to try again what failed with err. It
// returns the error for the client if there is nothing to wait for.
func (c *client) queue(ctx context.Context, h *held, err error) error {
	_, here := c.p.primary()
	canceled := make(chan struct{})
	c.mu.Lock()
	u := c.main
	inBlock := u != nil && !u.dead && u.backend != nil && u.tracker.Idle() && u.tracker.Status != 'I'
	c.waiting = canceled
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.waiting = nil
		c.mu.Unlock()
	}()
	v := holdView{Why: err, Block: inBlock && !here, Held: time.Since(h.began), Budget: h.budget(),
		Hopeless: c.p.hopeless() && meridian.KindOf(err) == meridian.PrimaryUnavailable}
	waits, why := decideHold(v)
	switch {
	case v.Block:
		return errMoving(err.Error())
	case !waits && v.Held >= v.Budget:
		return fmt.Errorf("%s: %w", why, err)
	case !waits:
		return err
	}
	if err := c.flushAll(); err != nil {
		return err
	}
	began := time.Now()
	h.wait(ctx, canceled, nil)
	waited := time.Since(began)
	c.env.note(func(o *meridian.Observation) { o.Waited += waited })
	select {
	case <-canceled:
		return &finalError{errCanceled()}
	default:
	}
	if ctx.Err() != nil {
		return meridian.WithKind(meridian.Canceled, fmt.Errorf("wait for the primary: %w", ctx.Err()))
	}
	return nil
}

// reachable waits until the primary is not known to be out of reach.
func (c *client) reachable(ctx context.Context) error {
	for h := c.p.hold(); ; {
		why := c.p.away()
		if why == "" {
			return nil
		}
		if err := c.queue(ctx, h, meridian.WithKind(meridian.PrimaryUnavailable, errors.New(why))); err != nil {
			return err
		}
	}
}

// putLocked places a group on the upstream.
func (u *upstream) putLocked(k kept) {
	u.unsent.Store(true)
	u.aheadLocked(k.floor)
	u.claimLocked()
	u.bringLocked(k.group.Messages)
	if k.begin != "" {
		u.out = u.tracker.Begin(u.out, k.begin)
	}
	if k.looked {
		u.out = u.tracker.Look(u.out)
	}
	if k.suppress > 0 {
		u.suppress = k.suppress
	}
	end := settling(u.c.span(k.kind, string(u.region), k.why), k.standIns)
	u.flights = append(u.flights, flight{end, k.credit, k.mark})
	u.out = u.tracker.Behind(u.out, k.behind)
	u.encode(k.group.Messages, k.mark)
	u.mid = !k.group.Ended || u.tracker.Skipping()
	if u.backend == nil {
		k.sent = false
		u.kept = append(u.kept, k)
		u.trim()
	}
}

// trim forgets the kept groups that are answered, and all if they are too big.
func (u *upstream) trim() {
	n := u.tracker.Groups()
	for len(u.kept) > n {
		u.c.spareGroup = u.kept[0].group
		u.kept[0] = kept{}
		u.kept = u.kept[1:]
	}
	size := 0
	for _, k := range u.kept {
		size += k.group.Size()
	}
	if size > keepAtMost {
		u.kept = nil
	}
}

// movesLocked reports whether all that the lost stream owes was provably not
// run, and may go to another primary.
func (u *upstream) movesLocked() bool {
	n := u.tracker.Groups()
	if u.backend != nil || n == 0 || n != len(u.kept) || u.tracker.Status != 'I' || u.c.immovable() != "" {
		return false
	}
	if u.refusal != nil {
		return u.refusal.Away
	}
	for _, k := range u.kept {
		if k.sent {
			return false
		}
	}
	return true
}

// pinnedByStart are start-up parameters that every backend is given: they
// decide on routing only.
const pinnedByStart = "start-up parameters that change how texts are read"

// immovable says why the session cannot leave its backend on the primary for
// another, or "". The caller holds c.mu.
func (c *client) immovable() string {
	if c.state.Pinned == pinnedByStart {
		return ""
	}
	return c.state.Pinned
}

// againLocked places what was kept from an earlier stream.
func (c *client) againLocked(u *upstream) {
	for _, k := range c.again {
		u.putLocked(k)
		c.p.metrics.moved.Inc()
	}
	c.again = nil
}

// pokeLocked makes the client's own goroutine look for errands, even while it
// waits for the client.
func (c *client) pokeLocked() {
	c.errand.Store(true)
	c.conn.SetReadDeadline(past)
}

// errands does what other goroutines left to the client's own.
func (c *client) errands(ctx context.Context) error {
	c.mu.Lock()
	c.errand.Store(false)
	c.conn.SetReadDeadline(noDeadline)
	u := c.main
	moved := u != nil && u.moved
	if u != nil && !u.dead && u.backend == nil && u.told != c.immovable() {
		u.told = c.immovable()
		u.out = wire.Builder(u.out).Message(wire.FramePin, []byte(u.told))
	}
	c.mu.Unlock()
	if err := c.sentenced(ctx); err != nil {
		return err
	}
	if !moved {
		return nil
	}
	return c.resume(ctx)
}

// resume sends again what the lost stream did not run.
func (c *client) resume(ctx context.Context) error {
	u := c.main
	select {
	case <-u.hello: // that primary did take the session
		c.moving = nil
	default:
	}
	var err error
	if c.moving == nil {
		c.moving = c.p.hold()
	} else {
		err = c.queue(ctx, c.moving, errShut("the primary does not take it: "+u.refused()))
	}
	if err == nil {
		err = c.reach(ctx, c.moving)
	}
	if err != nil {
		return c.failAgain(err)
	}
	c.mu.Unlock()
	return nil
}

// refused returns the primary's words.
func (u *upstream) refused() string {
	u.c.mu.Lock()
	defer u.c.mu.Unlock()
	if u.refusal == nil {
		return "the stream was lost"
	}
	return u.refusal.Message
}

// failAgain answers for groups that were kept and could not be sent again.
func (c *client) failAgain(err error) error {
	c.mu.Lock()
	all := c.again
	if u := c.main; u != nil && u.moved {
		all, u.kept, u.moved = append(all, u.kept...), nil, false
	}
	c.again = nil
	c.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	if unreachable(err) {
		c.away(err.Error())
	}
	e := pgError(err)
	for _, k := range all {
		if k.begin != "" {
			return &fatalError{e}
		}
		c.mu.Lock()
		c.out = wire.Builder(c.out).Error(e)
		if k.group.Ended {
			c.reportLocked()
			c.out = wire.Builder(c.out).Ready('I')
		} else {
			c.endGroup()
			c.skipping = true
		}
		c.mu.Unlock()
	}
	return nil
}
