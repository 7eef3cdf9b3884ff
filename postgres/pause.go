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
)

// Paused counts the sessions that stood on the local PostgreSQL when it was
// paused.
type Paused struct {
	Held   int // go on when the pause ends, here or on another primary
	Killed int // were told 57P01: they could not move, or their statement was over the budget
}

// cancelGrace is how long canceled statements have to end.
const cancelGrace = 250 * time.Millisecond

// Pause prepares the local PostgreSQL for a stop: from now on no transaction
// begins there. Those that are open may end within budget; then they are
// ended, as are the sessions that cannot move: their clients get 57P01, for a
// statement as an error after which the session goes on. All
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
	p.gate.parts(ctx)
	p.pool.Flush()
	p.metrics.killed.Add(float64(n.Killed))
	p.deps.Log.Info("paused", "held", n.Held, "killed", n.Killed, "took", time.Since(began))
	return n, nil
}

// Resume ends a pause. What was held goes to the primary that the map names.
func (p *Proxy) Resume() {
	for _, s := range p.leavers() {
		s.goOn()
	}
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
