package postgres

import (
	"context"
	"errors"
	"time"

	"meridian"
)

const (
	// sampleBudget is how long the end of an invocation waits for a position, while
	// PostgreSQL is started again after a crash.
	sampleBudget = 3 * time.Second
	// samplePatience is how long PostgreSQL may be silent until others are asked.
	samplePatience = time.Second
)

// sampleAfter returns a position at or past all that was read and written here until
// now. Where PostgreSQL is stopped for a move, that is where it stood when all sessions
// had left it: nothing was written after. Where it has crashed, what was known before
// does not hold the last writes: the primary says it, if that is another region's, or
// else this PostgreSQL itself, as soon as it is back; its log has all that it
// acknowledged. It returns the zero Token if nobody can say.
func (p *Proxy) sampleAfter(ctx context.Context) meridian.Token {
	ctx, cancel := context.WithTimeout(ctx, max(sampleBudget, p.sampleFor))
	defer cancel()
	for {
		t, err := p.sampleOf(ctx)
		switch {
		case err == nil:
			return t
		case p.sampleOnce || ctx.Err() != nil:
			p.deps.Log.Warn("no position at the end of an invocation", "error", err)
			return meridian.Token{}
		}
		pause(ctx, reconnectEvery)
	}
}

// sampleOf is one attempt at it.
func (p *Proxy) sampleOf(ctx context.Context) (meridian.Token, error) {
	silent, cancel := context.WithTimeout(ctx, samplePatience)
	defer cancel()
	s, err := p.watch.sample(silent)
	switch {
	case err == nil && !s.standby && !s.calm: // its standbys are not back yet, and it names what they have
		return meridian.Token{}, errors.New(p.watch.settled())
	case err == nil:
		return s.seen, nil
	}
	if last := p.gate.last.Load(); last != nil && !p.forgetsLast {
		return *last, nil
	}
	if region, here := p.primary(); here || region == "" || p.sampleOnce {
		return meridian.Token{}, err
	}
	silent, cancel = context.WithTimeout(ctx, samplePatience)
	defer cancel()
	a, err := p.probe.ask(silent)
	return a.token, err
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

// returned says that a session has a backend on the local PostgreSQL: once the pause is
// over, it may read and write what is past that position.
func (g *barrier) returned() {
	if !g.paused.Load() && !g.keepsLast && g.last.Load() != nil {
		g.last.Store(nil)
	}
}
