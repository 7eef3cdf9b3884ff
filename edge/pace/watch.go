package pace

import (
	"context"
	"sync"
	"time"
)

// Every is how often a Watch looks: a client is cut off that much too late at
// most.
const Every = time.Second

// A Watch looks at the clients who are being waited for. Make one with New.
type Watch struct {
	rule Rule
	now  func() time.Time

	mu    sync.Mutex // guards what follows
	waits map[looked]struct{}
}

// looked is something that the watch looks at until it says that it need not.
type looked interface {
	look(now time.Time) (again bool)
}

// New returns a Watch that looks while Run runs.
func New(r Rule, now func() time.Time) *Watch {
	return &Watch{rule: r, now: now, waits: map[looked]struct{}{}}
}

// Run looks until ctx is canceled.
func (w *Watch) Run(ctx context.Context) {
	if w.rule.Rate <= 0 {
		return
	}
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look()
		case <-ctx.Done():
			return
		}
	}
}

// look looks at everybody once.
func (w *Watch) look() {
	w.mu.Lock()
	all := make([]looked, 0, len(w.waits))
	for l := range w.waits {
		all = append(all, l)
	}
	w.mu.Unlock()
	now := w.now()
	for _, l := range all {
		if !l.look(now) {
			w.forget(l)
		}
	}
}

func (w *Watch) add(l looked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits[l] = struct{}{}
}

func (w *Watch) forget(l looked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waits, l)
}
