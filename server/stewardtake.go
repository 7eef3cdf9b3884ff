package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/internal/boottime"
	"meridian/postgres"
	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// take makes this region the holder. Only one of all who try succeeds.
func (s *steward) take(ctx context.Context, d failover.Decision) error {
	r, rev, age := s.tenure.now()
	if age < failover.Lease {
		return nil // a renewal came in between
	}
	ok, err := s.tenure.replace(ctx, failover.Record{Region: s.self.Region, Term: d.Term, Promise: r.Promise}, rev)
	if err == nil && ok {
		s.changed()
	}
	return err
}

// promote opens the standby for writes: the record is ours.
func (s *steward) promote(ctx context.Context, r failover.Record) error {
	switch {
	case s.waits():
		return s.assume(r)
	case !s.isStandby():
		return s.reopen(ctx, r)
	}
	begin := time.Now()
	s.fitAt.Store(int64(boottime.Now())) // it will be, or the record goes back
	s.tenure.nudge()
	bounded, cancel := context.WithTimeout(ctx, promoteBudget)
	defer cancel()
	if s.pg.Term() < r.Term {
		if err := s.pg.Pledge(r.Term); err != nil {
			return err
		}
	}
	p, err := s.pg.Promote(bounded, r.Gate, s.slots())
	if p.Timeline == 0 {
		return errors.Join(err, s.handBack(ctx, r))
	}
	s.streams.admit(true)
	s.changed()
	at := s.awaitRight(ctx)
	s.log.Info("primary: open for writes", "term", r.Term, "timeline", p.Timeline, "fork", p.Fork.String(), "took", time.Since(begin))
	fork := postgres.Fork{Timeline: p.Before, LSN: p.Fork, Next: p.Timeline, Planned: r.Gate != 0}
	return errors.Join(err,
		s.store.Put(ctx, forkKey(s.db, fork.Timeline), mustJSON(fork)),
		s.opened(ctx, r.Term, at))
}

// waits reports whether PostgreSQL has not come up since this node's start, on
// data that was a primary's.
func (s *steward) waits() bool { return !s.started.Load() && !s.isStandby() }

// assume starts this region's PostgreSQL as the primary that it was before its
// node ended: the copy of the store from which the node began named another
// holder, whom that data cannot follow.
func (s *steward) assume(r failover.Record) error {
	if err := s.pg.Pledge(r.Term); err != nil {
		return err
	}
	return s.pg.Assume(instance.Primary)
}

// reopen runs this region's PostgreSQL as the primary that it was: it handed
// the record over, and got it back without anybody having promoted.
func (s *steward) reopen(ctx context.Context, r failover.Record) error {
	s.cut("")
	bounded, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	if _, err := s.pg.Stop(bounded); err != nil {
		return err
	}
	if err := s.pg.Pledge(r.Term); err != nil {
		return err
	}
	return s.restart(ctx, instance.Primary, r.Term)
}

// awaitRight waits until this region may act, and returns the time: before
// that it is not open, whatever its PostgreSQL is.
func (s *steward) awaitRight(ctx context.Context) time.Time {
	ctx, cancel := context.WithTimeout(ctx, failover.Lease)
	defer cancel()
	tick := time.NewTicker(rightPoll)
	defer tick.Stop()
	for !s.tenure.held() {
		select {
		case <-ctx.Done():
			return time.Now()
		case <-tick.C:
		}
	}
	return time.Now()
}

// opened tells that a move which an operator asked for is done, if that is how
// this region came to hold the record.
func (s *steward) opened(ctx context.Context, term uint64, at time.Time) error {
	view := s.store.Now()
	var asked failover.Move
	each(view, movePrefix+s.db, s.log, func(_ string, m failover.Move) { asked = m })
	if asked.ID == "" || asked.To != s.self.Region || asked.Term >= term {
		return nil
	}
	answer := moved{ID: asked.ID}
	each(view, movedPrefix+s.db, s.log, func(_ string, m moved) {
		if m.ID == asked.ID {
			answer = m // what the holder said
		}
	})
	answer.Phase, answer.Opened = done, at
	answer.Why = fmt.Sprintf("%s takes the writes in term %d", s.self.Region, term)
	return s.store.Put(ctx, movedPrefix+s.db, mustJSON(answer))
}
