package server

import (
	"context"
	"path/filepath"
	"time"

	"meridian"
	"meridian/postgres"
	"meridian/postgres/instance"
)

// doubtBudget is how long a statement waits that a lost primary did not answer.
// A failover takes less.
const doubtBudget = 10 * time.Second

// outcomes reads what the log of this region's PostgreSQL says of transactions
// of the time before it was promoted.
func (n *node) outcomes(ctx context.Context, since meridian.LSN) (postgres.Outcomes, error) {
	var found instance.Outcomes
	if err := found.Find(ctx, filepath.Join(n.cfg.State, "postgres", "pg"), since); err != nil {
		return postgres.Outcomes{}, err
	}
	o := postgres.Outcomes{Timeline: found.Timeline, Fork: found.Fork, Forks: found.Forks, Since: found.Since, Handles: map[string]meridian.LSN{}}
	for handle, c := range found.Handles {
		o.Handles[handle] = c.LSN
	}
	return o, nil
}
