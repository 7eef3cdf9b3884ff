package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/config"
	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// hand moves the primary to another region with nothing lost: transactions
// queue, every stream but the successor's is cut, PostgreSQL stops at a
// checkpoint, and the record goes over with that position. What fails before
// the record is gone is undone, and the sessions never noticed more than a
// pause.
func (s *steward) hand(ctx context.Context, d failover.Decision, asked *failover.Move) error {
	to, err := nodeOf(s.file, config.RoleRegion, d.Who)
	if err != nil {
		return err
	}
	if err := s.awaitStream(ctx, d.Who); err != nil {
		return s.refuse(ctx, asked, err)
	}
	if err := s.pg.Checkpoint(ctx); err != nil { // makes the stop short
		return s.refuse(ctx, asked, err)
	}
	begin := time.Now()
	paused, err := s.proxy.Pause(ctx, pauseBudget)
	if err != nil {
		s.proxy.Resume()
		return s.refuse(ctx, asked, err)
	}
	s.streams.cut(to.Name)
	said := s.tell(ctx, moved{ID: asked.ID, Phase: handed, Why: "not open yet", Paused: begin, Killed: paused.Killed})
	stopped, err := s.stop(ctx)
	if err == nil {
		err = s.release(ctx, d, stopped)
	}
	<-said
	if err != nil {
		undone := s.restart(ctx, instance.Primary, 0)
		s.tenure.halt(false)
		s.proxy.Resume()
		return s.refuse(ctx, asked, errors.Join(err, undone))
	}
	s.tenure.halt(false)
	s.changed()
	s.proxy.Resume()
	s.log.Info("primary: handed over", "to", d.Who, "term", d.Term, "gate", stopped.LSN.String(), "held", paused.Held, "killed", paused.Killed, "took", time.Since(begin))
	return s.restart(ctx, instance.Standby, d.Term)
}

// tell writes what becomes of a move, beside what the caller does meanwhile;
// the channel closes when it is written, or could not be.
func (s *steward) tell(ctx context.Context, m moved) <-chan struct{} {
	written := make(chan struct{})
	go func() { // the caller waits for it
		defer close(written)
		if err := s.store.Put(ctx, movedPrefix+s.db, mustJSON(m)); err != nil {
			s.log.Warn("what becomes of the move was not told", "id", m.ID, "why", err.Error())
		}
	}()
	return written
}

func (s *steward) stop(ctx context.Context) (instance.Stopped, error) {
	bounded, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	return s.pg.Stop(bounded)
}

// release writes the successor into the record. A renewal of ours that was
// under way may change the revision once.
func (s *steward) release(ctx context.Context, d failover.Decision, at instance.Stopped) error {
	s.tenure.halt(true)
	next := failover.Record{Region: d.Who, Term: d.Term, Gate: at.LSN, From: s.self.Region}
	for range 3 {
		r, rev, _ := s.tenure.now()
		if r.Region != s.self.Region {
			return nil // it is gone already: to our successor, or by a failover
		}
		if ok, err := s.tenure.replace(ctx, next, rev); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("the record of the primary kept changing")
}

// refuse answers a move that was not made, for good: the next term makes it an
// old one, so that nobody tries again by itself.
func (s *steward) refuse(ctx context.Context, asked *failover.Move, why error) error {
	r, _, _ := s.tenure.now()
	answer := moved{ID: asked.ID, Phase: refused, Why: fmt.Sprintf("%s keeps the writes: %v", s.self.Region, why)}
	return errors.Join(why,
		s.store.Put(ctx, movedPrefix+s.db, mustJSON(answer)),
		s.raise(ctx, failover.Decision{Term: r.Term + 1}))
}
