package server

import (
	"context"
	"time"
)

// A watched is what says by a closed channel that it changed.
type watched interface{ Watch() <-chan struct{} }

// follow calls do at once, after each change and at the latest after every, until
// ctx is over. every 0 means after changes alone. A change during do is not lost.
func follow(ctx context.Context, s watched, every time.Duration, do func()) {
	var again <-chan time.Time
	if every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		again = tick.C
	}
	for {
		changed := s.Watch()
		do()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
		}
	}
}

// await waits until ok, which is asked at once and after each change. It reports
// false if ctx was over before.
func await(ctx context.Context, s watched, ok func() bool) bool {
	for {
		changed := s.Watch()
		if ok() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
