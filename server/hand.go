package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian"
	"meridian/config"
	"meridian/postgres"
	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// hand moves the primary to another region with nothing lost: transactions
// queue, every stream but the successor's is cut, PostgreSQL writes its last
// checkpoint, and the record goes over with that position, while the end of the
// log still travels. What fails before the record is gone is undone, and the
// sessions never noticed more than a pause.
func (s *steward) hand(ctx context.Context, d failover.Decision, asked *failover.Move) error {
	to, err := nodeOf(s.world(), config.RoleRegion, d.Who)
	if err != nil {
		return err
	}
	if err := s.readyToHand(ctx, d.Who, asked); err != nil {
		return s.refuse(ctx, asked, err)
	}
	defer s.tenure.resume()
	paused, begin, err := s.pause(ctx, asked)
	if err != nil && !s.waiting.over(asked, time.Now()) {
		return nil // it is tried again
	}
	if err == nil {
		err = s.cutAllBut(to.Name, d.Who)
	}
	if err != nil {
		return s.refuse(ctx, asked, err)
	}
	said := s.tell(ctx, moved{ID: asked.ID, Phase: handed, Why: "not open yet", Paused: begin, Killed: paused.Killed})
	stopped, took, err := s.giveUp(ctx, d, asked, to.Name, begin)
	s.tenure.resume()
	if err != nil {
		undone := errors.Join(s.stop(ctx), s.restart(ctx, instance.Primary, 0))
		s.proxy.Resume()
		<-said
		return s.refuse(ctx, asked, errors.Join(err, undone))
	}
	s.changed()
	s.proxy.Resume()
	s.log.Info("primary: handed over", "to", d.Who, "term", d.Term, "gate", stopped.LSN.String(), "held", paused.Held, "killed", paused.Killed, "stopped", took, "took", time.Since(begin))
	<-said
	return errors.Join(s.stop(ctx), s.restart(ctx, instance.Standby, d.Term))
}

// readyToHand does what need not be done within the pause. It fails if the
// successor does not stream.
func (s *steward) readyToHand(ctx context.Context, to meridian.Region, asked *failover.Move) error {
	if err := s.awaitStream(ctx, to); err != nil {
		return err
	}
	if err := s.pg.Checkpoint(ctx); err != nil { // makes the stop short
		return err
	}
	s.awaitMark(ctx, asked)
	if err := s.lead(ctx); err != nil && ctx.Err() == nil { // the hand-over is one trip then
		s.log.Info("the store is led from elsewhere during a move", "why", err.Error())
	}
	return nil
}

// cutAllBut cuts every stream but the successor's. If that is gone it ends the
// pause, and says so.
func (s *steward) cutAllBut(node string, to meridian.Region) error {
	s.cut(node)
	if s.streams.has(node) {
		return nil
	}
	s.admit(true)
	s.proxy.Resume()
	return s.noStream(to)
}

// giveUp has PostgreSQL write its last checkpoint, and the record name the
// successor. took is how long after begin the checkpoint was there.
func (s *steward) giveUp(ctx context.Context, d failover.Decision, asked *failover.Move, node string, begin time.Time) (at instance.Stopped, took time.Duration, err error) {
	at, err = s.halt(ctx)
	took = time.Since(begin)
	if err == nil && !s.streams.has(node) {
		err = s.noStream(d.Who) // it pledged another term meanwhile, or its link is gone
	}
	if err == nil {
		err = s.release(ctx, d, at, s.markOf(asked))
	}
	return at, took, err
}

// pause takes all sessions off PostgreSQL, and returns when that began. No
// renewal is under way from then on: amid the hand-over it would cost another
// trip. A move that spares the sessions which cannot move ends none.
func (s *steward) pause(ctx context.Context, m *failover.Move) (postgres.Paused, time.Time, error) {
	s.tenure.halt(ctx)
	begin := time.Now()
	pause := s.proxy.Pause
	if m.Wait > 0 {
		pause = s.proxy.PauseSparing
	}
	paused, err := pause(ctx, pauseBudget)
	if err != nil {
		s.proxy.Resume()
	}
	return paused, begin, err
}

// A waiting is the wait of a move for sessions that cannot move. The steward
// goes on meanwhile: whatever else is asked of it is done.
type waiting struct {
	move  string // its ID
	since time.Time
}

// over reports whether a move has waited as long as it may.
func (w waiting) over(m *failover.Move, now time.Time) bool {
	return m.Wait == 0 || w.move == m.ID && now.Sub(w.since) >= m.Wait
}

// stays reports whether a move waits on: a session is bound by more than its
// transaction.
func (s *steward) stays(m *failover.Move) bool {
	if m.Wait > 0 && s.waiting.move != m.ID {
		s.waiting = waiting{m.ID, time.Now()}
	}
	return !s.waiting.over(m, time.Now()) && s.proxy.Bound(false) != ""
}

func (s *steward) noStream(to meridian.Region) error {
	return fmt.Errorf("the standby of %s lost its stream from %s before it had all", to, s.self.Region)
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

// halt writes PostgreSQL's last checkpoint; stop waits for its end.
func (s *steward) halt(ctx context.Context) (instance.Stopped, error) {
	bounded, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	return s.pg.Halt(bounded)
}

func (s *steward) stop(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	_, err := s.pg.Stop(bounded)
	return err
}

// release writes the successor into the record. A renewal of ours that was
// under way may change the revision once. When it fails, the record may be the
// successor's all the same, or become so: this region has no right until it
// has renewed again.
func (s *steward) release(ctx context.Context, d failover.Decision, at instance.Stopped, mark failover.Mark) error {
	for range 3 {
		r, rev, _ := s.tenure.now()
		if r.Region != s.self.Region {
			return nil // it is gone already: to our successor, or by a failover
		}
		next := failover.Record{Region: d.Who, Term: d.Term, Gate: at.LSN, From: s.self.Region, Mark: mark, Promise: r.Promise}
		ok, err := s.tenure.replace(ctx, next, rev)
		if err != nil {
			s.tenure.doubt()
		}
		if ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("the record of the primary kept changing")
}

// refuse answers a move that was not made, for good: what is answered is not
// tried again. No term is used up.
func (s *steward) refuse(ctx context.Context, asked *failover.Move, why error) error {
	s.refused = asked.ID
	answer := moved{ID: asked.ID, Phase: refused, Why: fmt.Sprintf("%s keeps the writes: %v", s.self.Region, why)}
	return errors.Join(why, s.store.Put(ctx, movedPrefix+s.db, mustJSON(answer)))
}
