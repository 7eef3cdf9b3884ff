package server

import (
	"context"
	"time"

	"meridian/health"
)

const (
	// yieldBudget is how long transactions that other regions have open here may
	// take as this node stops for its next process.
	yieldBudget = 3 * time.Second
	// yieldCatchUp bounds the wait for standbys to replay what was committed.
	yieldCatchUp = 2 * time.Second
)

// yield is a part that does nothing until it is stopped: then, if the next process
// takes this node's place and the primary is here, sessions end well, and every
// standby gets what was committed: until the next process is there, it alone
// answers who has seen that.
func (s *steward) yield(ctx context.Context, ready func(), releasing func() bool) error {
	ready()
	<-ctx.Done()
	if _, holds := s.tenure.holds(); !holds || !releasing() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*yieldBudget+yieldCatchUp)
	defer cancel()
	began := time.Now()
	paused, err := s.proxy.Yield(ctx, yieldBudget)
	if err != nil {
		s.log.Warn("sessions did not end before this process did", "why", err.Error())
		return nil
	}
	if err := s.awaitReplay(ctx); err != nil {
		s.log.Warn("standbys did not get all before this process ended", "why", err.Error())
	}
	s.log.Info("sessions wait for the next process", "held", paused.Held, "killed", paused.Killed, "took", time.Since(began))
	return nil
}

// awaitReplay waits until every standby that streams from here has replayed all.
func (s *steward) awaitReplay(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, yieldCatchUp)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(streamPoll)
	defer tick.Stop()
	for {
		var behind int
		err := c.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication
			WHERE state = 'streaming' AND replay_lsn < pg_current_wal_flush_lsn()`).Scan(&behind)
		if err != nil || behind == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// returnsFor is how long a node that stopped for its next process is waited for
// after it was last heard.
const returnsFor = 30 * time.Second

// returnsOf reports whether a node, by what was heard of it, is being started
// again: it said so, and not long ago.
func returnsOf(x health.Verdict) bool {
	return x.Facts[factReturns] == "1" && time.Since(x.At) < returnsFor
}
