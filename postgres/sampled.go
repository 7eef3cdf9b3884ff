package postgres

import (
	"context"
	"time"

	"meridian"
)

// sampleBudget is how long the end of an invocation waits for PostgreSQL to say its
// position: for as long as a planned move, or a restart in place, keeps it away.
const sampleBudget = 3 * time.Second

// sampleAfter returns a position at or past all that was read and written here until
// now. Where PostgreSQL is away for a moment it is asked until it is back, since the
// answer to a write must not go without; while it is about to stop for a move, it has
// said before. It returns the zero Token if nothing can be said.
func (p *Proxy) sampleAfter(ctx context.Context) meridian.Token {
	ctx, cancel := context.WithTimeout(ctx, sampleBudget)
	defer cancel()
	for {
		s, err := p.watch.sample(ctx)
		if err == nil {
			return s.seen
		}
		if last := p.gate.last.Load(); last != nil {
			return *last
		}
		if pause(ctx, 20*time.Millisecond); p.sampleOnce || ctx.Err() != nil {
			p.deps.Log.Warn("no position at the end of an invocation", "error", err)
			return meridian.Token{}
		}
	}
}

// parts keeps the position at which all sessions have left PostgreSQL for a pause: it
// is past all that they were told.
func (g *barrier) parts(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s, err := g.p.watch.sample(ctx); err == nil {
		g.last.Store(&s.seen)
	}
}
