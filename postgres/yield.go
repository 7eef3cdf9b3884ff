package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

const (
	// yieldQuiet is for how long no stream came that had to be turned away before
	// nobody is taken to be on the way any more: longer than a trip.
	yieldQuiet = 300 * time.Millisecond
	// yieldMost bounds the wait for that.
	yieldMost = 2 * time.Second
	// returnsWithin is how long a primary's proxy that said so is waited for.
	returnsWithin = 30 * time.Second
)

// A yielding is what a proxy that stops for its next process has turned away.
type yielding struct {
	on   atomic.Bool
	last atomic.Int64 // unix nanoseconds; 0: nobody yet
}

// Yield prepares the end of this proxy, whose successor on this node finds the local
// PostgreSQL as it is. It is a Pause, after which other regions' sessions are
// told that the primary returns, and open no stream until it has: one that
// comes as the proxy ends would be in doubt. Yield returns once none comes any
// more. There is no way back but another proxy.
func (p *Proxy) Yield(ctx context.Context, budget time.Duration) (Paused, error) {
	p.gate.yields.on.Store(true)
	n, err := p.Pause(ctx, budget)
	began := time.Now()
	for err == nil && ctx.Err() == nil && time.Since(began) < yieldMost {
		quiet := time.Since(latest(began, time.Unix(0, p.gate.yields.last.Load())))
		if quiet >= yieldQuiet {
			break
		}
		pause(ctx, yieldQuiet-quiet)
	}
	return n, err
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// returns reports whether the primary is away for a moment only: its node is
// being started again, and said so. What needs it waits then as for a move.
func (p *Proxy) returns() bool {
	r, ok := p.deps.Map.Now().Primary()
	return ok && (r.Returns || p.probe.awaits(r.Name) != "")
}

// hopeless reports whether nobody will take the place of a primary that is out of
// reach.
func (p *Proxy) hopeless() bool { return p.cfg.NoFailover && !p.returns() }

// A primaryReturn is what a proxy was told by a primary's that stops for its next
// process.
type primaryReturn struct {
	region meridian.Region
	told   time.Time
}

// awaitReturn notes that a region's proxy stops for its next process. A stream is
// opened again once that answers a probe.
func (b *probe) awaitReturn(region meridian.Region) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.back.region != region {
		b.p.deps.Log.Info("the primary is started again, and waited for", "primary", region)
	}
	b.back = primaryReturn{region, time.Now()}
}

// awaits says why a region's proxy is waited for, or "".
func (b *probe) awaits(region meridian.Region) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.awaitsLocked(region)
}

// awaitsLocked says why a region's proxy is waited for, or "".
func (b *probe) awaitsLocked(region meridian.Region) string {
	if b.back.region != region || region == "" || time.Since(b.back.told) >= returnsWithin {
		return ""
	}
	return fmt.Sprintf("the primary in %s is being started again", region)
}

// returned notes an answer to a probe: of one that was sent after a region's
// proxy had said that it stops, it is its successor's.
func (b *probe) returned(region meridian.Region, sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.back.region == region && sent.After(b.back.told) {
		b.back = primaryReturn{}
	}
}

// returning returns the refusal of a proxy that yields.
func (p *Proxy) returning() *wire.Refusal {
	return &wire.Refusal{Code: stateNotSent, Away: true, Returns: true, Message: "the primary in " + string(p.cfg.Region) + " is being started again"}
}
