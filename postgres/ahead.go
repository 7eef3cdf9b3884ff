package postgres

import (
	"context"
	"fmt"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// A standby shows a commit once it has replayed it. With quorum and sync the
// primary shows it later, once enough of the others confirm it. So a session
// that goes to the primary says how new what it was shown elsewhere is, and the
// primary's proxy lets nothing of it run before that shows there as well.

// ahead returns what the session may have been shown that the primary may not
// show yet, or the zero Token.
func (c *client) ahead(ctx context.Context) meridian.Token {
	if c.p.goesBlind || c.p.ignoreFloors || len(c.p.demand().Quorums) == 0 || c.reads && c.mode.Level == meridian.Eventual {
		return meridian.Token{}
	}
	if _, here := c.p.primary(); here { // its groups wait by themselves
		return meridian.Token{}
	}
	s := c.stand()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != nil && (s.shown || s.owed) {
		if shown, ok := c.shownUpTo(ctx, s); ok {
			c.raise(shown)
			s.shown, s.owed = false, false
		}
	}
	return c.asked()
}

// aheadLocked sends what a group's session was shown, unless the primary was told
// or has said that it is that far, or has not answered everything: the session
// was shown nothing since.
func (u *upstream) aheadLocked(floor meridian.Token) {
	if u.backend != nil || floor.IsZero() || reached(u.at, floor) || reached(u.heard, floor) || u.tracker.Status != 'I' || !u.tracker.Idle() {
		return
	}
	u.heard = floor
	u.out = wire.Builder(u.out).JSON(wire.FrameState, wire.State{Floor: floor.Bare().String()})
}

// catchUp waits until the local PostgreSQL, the primary, shows what a session was
// shown elsewhere.
func (s *peer) catchUp(ctx context.Context, text string) error {
	if text == "" {
		return nil
	}
	floor, err := meridian.ParseToken(text)
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrProtocol, err)
	}
	floor = s.p.history(floor) // the session may have been moved here by a failover
	ctx, cancel := context.WithTimeout(ctx, s.p.cfg.PrimaryTimeout)
	defer cancel()
	began := time.Now()
	if s.p.watch.wait(ctx, floor, s.p.cfg.PrimaryTimeout) {
		s.p.metrics.waited.Observe(time.Since(began).Seconds())
		return nil
	}
	here := s.p.watch.known().served
	err = fmt.Errorf("what the session was shown at %s is not confirmed here, where the standbys have %s", floor.LSN, here.LSN)
	s.conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: stateTooOld, Away: s.p.lostPrimacy(), Message: err.Error()}))
	return err
}
