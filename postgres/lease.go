package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/postgres/wire"
	"meridian/topology"
)

// A barrier stands before the local PostgreSQL where this region is the
// primary's. It is shut while a move is under way, and while the region's
// lease is not valid: what was not sent then waits, here or for another
// region that becomes the primary.
type barrier struct {
	p      *Proxy
	paused atomic.Bool
	wake   chan struct{} // somebody waits
	held   atomic.Int64  // how many wait
	yields yielding
	last   atomic.Pointer[meridian.Token] // where PostgreSQL stood when all had left it for the newest pause; nil: some are back, or none was

	mu      sync.Mutex // guards what follows
	changed chan struct{}

	relayLate bool // negative control: the tests' proof that a late success, and a position, must wait
	tellEarly bool // negative control: the tests' proof that a success must be confirmed
	keepsLast bool // negative control: the tests' proof that last must go
	neverShut bool // negative control: the tests' proof that a pause is needed
}

func newGate(p *Proxy) *barrier {
	return &barrier{p: p, wake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// leased reports whether this region may act as the primary at this instant.
func (p *Proxy) leased() bool {
	if p.deps.Lease == nil {
		return true
	}
	until, _ := p.deps.Lease()
	return p.deps.Boot() < until
}

// shut says why nothing may be sent to the local PostgreSQL as the primary, or
// "". What goes on in a block that is open there may finish during a pause.
func (g *barrier) shut(inBlock bool) string {
	if g.neverShut {
		return ""
	}
	switch _, here := g.p.primary(); {
	case !here:
		return string(g.p.cfg.Region) + " is not the primary's region any more"
	case g.yields.on.Load() && !inBlock:
		return "its node is being started again"
	case g.paused.Load() && !inBlock:
		return "the primary is moving to another region"
	case !g.p.leased():
		return "the right of " + string(g.p.cfg.Region) + " to act as the primary is not confirmed"
	}
	return g.p.watch.settled()
}

// broadcast wakes all who wait: something that they look at may have changed.
func (g *barrier) broadcast() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.changed)
	g.changed = make(chan struct{})
}

// settled says that a transaction ended.
func (g *barrier) settled() {
	if g.held.Load() > 0 {
		g.broadcast()
	}
}

// enter counts somebody who waits in, and returns what is closed at the next
// change. They must look at what they wait for after the call, and then leave.
func (g *barrier) enter() <-chan struct{} {
	g.held.Add(1)
	select {
	case g.wake <- struct{}{}:
	default:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

func (g *barrier) exit() { g.held.Add(-1) }

// gateEvery is how often the map and the lease are looked at while somebody
// waits.
const gateEvery = 2 * time.Millisecond

// run looks for changes on behalf of all who wait, until ctx is canceled.
func (g *barrier) run(ctx context.Context) {
	tick := time.NewTicker(gateEvery)
	defer tick.Stop()
	type state struct {
		atlas  *topology.Snapshot
		leased bool
		away   string
		shut   string
	}
	var was state
	for {
		if g.held.Load() == 0 {
			select {
			case <-ctx.Done():
				return
			case <-g.wake:
			}
		}
		if now := (state{g.p.deps.Map.Now(), g.p.leased(), g.p.away(), g.shut(false)}); now != was {
			was = now
			g.broadcast()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// A holdView is what is known of a group of messages that could not be sent.
type holdView struct {
	Why      error
	Block    bool // the session has a block open on a backend that cannot take it any more
	Hopeless bool // the primary is away, and nobody will take its place
	Held     time.Duration
	Budget   time.Duration
}

// decideHold says whether the group waits for a primary that takes it.
func decideHold(v holdView) (waits bool, why string) {
	switch {
	case !passes(v.Why):
		return false, "it would not pass"
	case v.Block:
		return false, "its block cannot move"
	case v.Hopeless:
		return false, "the primary is not replaced"
	case v.Held >= v.Budget:
		return false, "it waited for " + v.Budget.String()
	}
	return true, v.Why.Error()
}

// passes reports whether an error may be gone when the primary has moved, or
// its PostgreSQL has started again.
func passes(err error) bool {
	var f *finalError
	var e *wire.Error
	switch {
	case errors.As(err, &f):
		return false
	case errors.As(err, &e):
		return e.Code == "57P01" || e.Code == "57P02" || e.Code == "57P03"
	}
	switch meridian.KindOf(err) {
	case meridian.Throttled, meridian.Canceled, meridian.Invalid, meridian.NotFound:
		return false
	}
	return true
}

// A finalError is for the client, however long it waits.
type finalError struct{ error }

func (f *finalError) Unwrap() error { return f.error }

// A held is the wait of one group.
type held struct {
	p     *Proxy
	began time.Time
	pause time.Duration // before the next try if nothing is seen to change
	long  bool          // the primary was seen to return in a moment
}

func (p *Proxy) hold() *held { return &held{p: p, began: time.Now(), pause: 5 * time.Millisecond} }

// left returns what is left of the budget.
func (h *held) left() time.Duration { return h.budget() - time.Since(h.began) }

// budget returns how long the group may wait. It does not shrink as the primary
// is back, and about to take it.
func (h *held) budget() time.Duration {
	if h.long = h.long || h.p.returns(); h.long {
		return max(h.p.cfg.ReturnBudget, h.p.cfg.MoveBudget)
	}
	return h.p.cfg.MoveBudget
}

// wait waits until it makes sense to try again. still is asked once waiting
// has begun whether there is anything to wait for.
func (h *held) wait(ctx context.Context, canceled <-chan struct{}, still func() bool) {
	changed := h.p.gate.enter()
	defer h.p.gate.exit()
	if still != nil && !still() {
		return
	}
	h.p.loops.Slow()
	t := time.NewTimer(max(0, min(h.pause, h.left())))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
		h.pause = min(2*h.pause, 50*time.Millisecond)
	case <-canceled:
	case <-ctx.Done():
	}
}

// late waits with a success of the local PostgreSQL that came when the lease
// was not valid, and reports whether it may be relayed after all. It may not
// once another region is the primary: nobody here knows then whether the
// transaction is part of its history.
func (p *Proxy) late(ctx context.Context) bool {
	p.metrics.late.Inc()
	for h := p.hold(); h.left() > 0 && ctx.Err() == nil; {
		if p.leased() {
			return true
		}
		if region, here := p.primary(); !here && region != "" {
			return false
		}
		h.wait(ctx, nil, func() bool { return !p.leased() })
	}
	return p.leased()
}

// mayRelay reports whether a message of the local PostgreSQL may be passed on
// now. It waits with those that tell of success while the lease is not valid.
func (p *Proxy) mayRelay(ctx context.Context, t byte) bool {
	return t != 'C' && t != 'Z' || p.leased() || p.gate.relayLate || p.late(ctx)
}
