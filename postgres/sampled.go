package postgres

import (
	"context"
	"time"

	"meridian"
)

// sampleAfter returns a position at or past all that was read and written here until
// now. Where PostgreSQL cannot say, since it is stopped for a move, that is where it
// stood when all sessions had left it: nothing was written after. It returns the
// zero Token if nobody can say.
func (p *Proxy) sampleAfter(ctx context.Context) meridian.Token {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := p.watch.sample(ctx)
	if err == nil {
		return s.seen
	}
	if last := p.gate.last.Load(); last != nil && !p.forgetsLast {
		return *last
	}
	p.deps.Log.Warn("no position at the end of an invocation", "error", err)
	return meridian.Token{}
}

// parts keeps the position at which all sessions have left PostgreSQL for a pause. It
// is past all that they were told, and before the end of the timeline.
func (g *barrier) parts(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s, err := g.p.watch.sample(ctx); err == nil {
		g.last.Store(&s.seen)
	}
}
