package postgres

import (
	"context"
	"time"

	"meridian/postgres/wire"
)

// state takes what the secondary says of the session's state, before which out is
// sent. Groups that came before may be under way.
func (s *peer) state(ctx context.Context, f wire.Frame, out []byte) error {
	var st wire.State
	if err := wire.ParseJSON(f.Body(), &st); err != nil {
		return err
	}
	if len(out) > 0 {
		if err := s.write(out); err != nil {
			return err
		}
	}
	if len(st.Claims) > 0 {
		return s.holds(ctx, st.Claims)
	}
	if err := s.catchUp(ctx, st.Floor); err != nil {
		return err
	}
	if s.late = append(s.late, st.SQL...); len(st.SQL) == 0 || s.answered(ctx) || s.failed() {
		return nil
	}
	return s.apply(ctx)
}

// belated brings what could not be before, once out is sent, which ends a group.
func (s *peer) belated(ctx context.Context, out []byte) error {
	if err := s.write(out); err != nil || s.answered(ctx) || s.failed() {
		return err
	}
	return s.apply(ctx)
}

// failed reports whether the block that is open has failed: nothing can be brought to
// it.
func (s *peer) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status == 'E'
}

// answered waits until PostgreSQL has answered all that it was sent, so that what it
// says next is of what it is sent next. It reports whether it passes over that.
func (s *peer) answered(ctx context.Context) (passes bool) {
	for !s.gone.Load() && ctx.Err() == nil {
		s.mu.Lock()
		passes = s.dues.passes
		rests := s.owed == 0 && (passes || s.dues.answered >= s.dues.open)
		open := s.dues.open > 0
		s.mu.Unlock()
		if rests || s.p.stateHasty {
			return passes
		}
		if open {
			s.backend.Conn.Write(wire.Builder(nil).Message('H')) // nobody else may ask for the answers
		}
		s.p.gate.await(ctx, time.Millisecond)
	}
	return false
}

// apply runs statements whose replies the secondary does not see. All must
// succeed: a session must not run on with, say, another role than it has set.
func (s *peer) apply(ctx context.Context) error {
	todo := s.late
	s.late = nil
	for _, sql := range todo {
		done := make(chan error, 1)
		s.mu.Lock()
		s.strip, s.stripOf = done, nil
		s.mu.Unlock()
		if _, err := s.backend.Conn.Write(wire.Builder(nil).Query(sql)); err != nil {
			return err
		}
		if err := <-done; err != nil {
			e := pgError(err)
			s.conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: e.Code, Message: "bring the session's state: " + e.Message}))
			return err
		}
	}
	return nil
}
