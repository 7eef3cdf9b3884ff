package lifecycle

import (
	"context"
	"time"
)

// Every does something at once, then calls ready, and does it again each period,
// until ctx is canceled.
func Every(ctx context.Context, period time.Duration, ready, do func()) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	do()
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			do()
		}
	}
}
