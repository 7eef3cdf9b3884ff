package purge

import (
	"context"
	"slices"
	"sync"
	"time"

	"meridian/edge/cache"
)

// Times of the log, and how much waits for it at most.
const (
	keepBudget = 5 * time.Second        // of one write
	keepRest   = 200 * time.Millisecond // after each: what comes meanwhile goes together
	keepPause  = 500 * time.Millisecond // after one that failed
	maxUnkept  = 4096
)

// Run writes the log and sends what this node invalidated, until ctx is over.
func (s *Sender) Run(ctx context.Context, ready func()) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.send(ctx) })
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.unwritten:
		}
		s.write(ctx)
	}
}

// keep has Run put purges into the log.
func (s *Sender) keep(ps []cache.Purge) (out []*keeping) {
	s.mu.Lock()
	for _, p := range ps {
		out = append(out, &keeping{purge: p, done: make(chan struct{})})
	}
	s.unkept = append(s.unkept, out...)
	if over := len(s.unkept) - maxUnkept; over > 0 {
		s.unkept = slices.Delete(s.unkept, 0, over)
	}
	s.mu.Unlock()
	wake(s.unwritten)
	return out
}

// wake says that there is something to do. It never blocks.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write puts all that waits into the log, together, and keeps at it. What came
// meanwhile goes along with the next write.
func (s *Sender) write(ctx context.Context) {
	for ctx.Err() == nil {
		batch := s.waiting()
		if len(batch) == 0 {
			return
		}
		var ps []cache.Purge
		for _, k := range batch {
			ps = append(ps, k.purge)
		}
		bounded, cancel := context.WithTimeout(ctx, keepBudget)
		err := s.deps.Keep(bounded, ps)
		cancel()
		rest := keepRest
		if err == nil {
			s.kept(batch)
		} else {
			s.deps.Log.Warn("purges are not in the log yet", "count", len(ps), "why", err.Error())
			rest = keepPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
}

// waiting returns what is not in the log, but for what is too old to matter:
// whoever missed that has been told to trust nothing so old.
func (s *Sender) waiting() []*keeping {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.deps.Now()
	s.unkept = slices.DeleteFunc(s.unkept, func(k *keeping) bool { return now.Sub(k.purge.At) > retention })
	return slices.Clone(s.unkept)
}

func (s *Sender) kept(batch []*keeping) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range batch {
		close(k.done)
	}
	s.unkept = slices.DeleteFunc(s.unkept, func(k *keeping) bool { return slices.Contains(batch, k) })
}
