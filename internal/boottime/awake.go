package boottime

import (
	"context"
	"sync"
	"time"
)

// Nap is how much of a time in which nothing read an Awake counts: a busy
// machine keeps a process from running for as long, now and then.
const Nap = 500 * time.Millisecond

// beat is how often Run reads it.
const beat = 100 * time.Millisecond

// An Awake is a clock that stands while its process does: stopped, on a machine
// that sleeps, or without a processor. What was not heard then may have been
// said: silence is measured with it. A right that ends is measured with Now.
// It stands when nothing has read it for Nap, which Run sees to.
type Awake struct {
	Clock func() time.Duration // nil: Now

	mu   sync.Mutex
	last time.Duration // of Clock, when it was last read; 0: never
	lost time.Duration // for which it stood
}

// Now returns the time for which the process was awake.
func (a *Awake) Now() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := Now
	if a.Clock != nil {
		now = a.Clock
	}
	at := now()
	if a.last != 0 {
		a.lost += max(0, at-a.last-Nap)
	}
	a.last = at
	return at - a.lost
}

// Run reads the clock until ctx is over.
func (a *Awake) Run(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		a.Now()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
