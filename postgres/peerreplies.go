package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"meridian"
	"meridian/postgres/wire"
)

// replies brings PostgreSQL's messages to the secondary. Each transaction's
// end is told with a position that is at or past its commit.
func (s *peer) replies(ctx context.Context) {
	var out []byte
	var hold holder
	ran := true                // something, since the last ReadyForQuery
	var executed *wire.Refusal // what to say once PostgreSQL has closed the connection
	for {
		f, err := s.backend.Reader.Frame()
		// The end of a read by its deadline is no barrier: what PostgreSQL says
		// as it stops may slip through.
		if err != nil || s.left.Load() {
			if bye := s.ending(err, executed); bye != nil {
				out = wire.Builder(out).JSON(wire.FrameRefuse, *bye)
			}
			if len(out) > 0 {
				s.conn.Write(out)
			}
			return
		}
		if !s.p.mayRelay(ctx, f.Type()) {
			s.p.deps.Log.Warn("a success came after the lease had ended: its session ends")
			return
		}
		if !hold.pass(ctx, s.p, s.backend.Reader, f, ran && s.tells(f)) {
			s.p.deps.Log.Warn("a success was not confirmed by the standbys: its session ends", "why", errUnconfirmed.Error())
			return
		}
		if s.stripped(f) {
			continue
		}
		switch f.Type() {
		case 'E':
			executed = s.executed(ctx, f)
			if over := overtime(f); over != nil && s.canceled.Load() {
				f = over
				s.overtime.Store(true)
			}
		case 'A':
			s.p.senders.names(s.from, f)
		case 'C':
			s.defines = s.defines || defines(f.Body())
			s.settles = s.settles || settles(f.Body())
		case 'Z':
			if out, err = s.finish(ctx, out, f, ran); err != nil {
				s.p.deps.Log.Error("no position after a transaction: its session ends", "error", err)
				return
			}
		}
		ran = f.Type() != 'Z'
		out = append(out, f...)
		if len(out) > full || s.p.answerAlone && f.Type() == 'Z' || !s.backend.Reader.Ready() && !s.gathers() {
			if _, err := s.conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// ending notes that PostgreSQL says nothing more, and returns what the secondary
// is told of it, if anything.
func (s *peer) ending(err error, executed *wire.Refusal) *wire.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strip != nil {
		s.strip <- err
		s.strip = nil
	}
	if s.farewell == nil && executed != nil && s.owed == 0 {
		s.farewell = executed
	}
	if s.farewell == nil && s.owed == 0 && !s.mid && s.status == 'I' && err != nil {
		s.farewell = s.p.notHere("its PostgreSQL was lost: " + err.Error()) // nothing is running
	}
	return s.farewell
}

// shutsDown is how long PostgreSQL takes at most to tell all its processes to
// end, where it does.
const shutsDown = 20 * time.Millisecond

// executed returns what the secondary is told if PostgreSQL's error says that
// somebody ended the session's process, and PostgreSQL as a whole goes on.
func (s *peer) executed(ctx context.Context, f wire.Frame) *wire.Refusal {
	e, err := wire.ParseError(f.Body())
	if err != nil || !e.Fatal() || !s.p.ended(ctx, e.Code, true) {
		return nil
	}
	pause(ctx, shutsDown)
	if !s.p.ended(ctx, e.Code, true) {
		return nil
	}
	return &wire.Refusal{Code: e.Code, Message: e.Message, Others: e.Rest(), Ended: true}
}

// gather is how long replies within a block wait for those of groups that were
// sent with them.
const gather = 250 * time.Microsecond

// gathers waits a moment if PostgreSQL works on a pipeline, and reports whether
// more of its replies are there then. It answers each group by itself: carried
// by themselves, the answers to a hundred writes cost more than the writes.
func (s *peer) gathers() bool {
	s.mu.Lock()
	more := s.owed > 0 && s.status == 'T'
	s.mu.Unlock()
	if !more {
		return false
	}
	tv := unix.NsecToTimeval(int64(gather)) // Go's timers are too coarse for that
	unix.Select(0, nil, nil, nil, &tv)
	return s.backend.Waits()
}

// tells reports whether a message of PostgreSQL may tell of a commit. What the
// statements were is not known here.
func (s *peer) tells(f wire.Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strip == nil && commits(f, s.status)
}

// stripped takes a reply to a hidden statement.
func (s *peer) stripped(f wire.Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strip == nil {
		s.owed -= s.dues.came(f.Type())
		s.mid = s.mid || s.dues.passes || s.dues.open > 0
		return false
	}
	switch f.Type() {
	case 'E':
		e, err := wire.ParseError(f.Body())
		if s.stripOf = err; err == nil {
			s.stripOf = e
		}
	case 'Z':
		s.strip <- s.stripOf
		s.strip = nil
	}
	return true
}

// finish appends the position that goes before a ReadyForQuery, unless nothing
// ran since the one before.
func (s *peer) finish(ctx context.Context, out []byte, f wire.Frame, ran bool) ([]byte, error) {
	status := byte('I')
	if len(f.Body()) == 1 {
		status = f.Body()[0]
	}
	defer s.p.gate.settled()
	defer func() { // not before the position is known: a pause waits for it
		s.mu.Lock()
		s.owed--
		s.status = status
		s.mu.Unlock()
	}()
	if status != 'I' || !ran {
		return out, nil
	}
	sm, err := s.p.watch.sample(ctx)
	if err != nil {
		sm, err = s.p.watch.sample(ctx) // its connection may have been stale
	}
	if err == nil && sm.standby {
		err = meridian.WithKind(meridian.PrimaryUnavailable, errors.New("the local PostgreSQL is a standby"))
	}
	if err != nil {
		return out, err
	}
	if s.settles {
		s.settles = false
		s.p.pool.Renew()
	}
	if s.defines {
		s.defines = false
		s.p.catalogue.defined()
	}
	return wire.Builder(out).Position(position(sm.seen)), nil
}

// defines reports whether a command's tag is one of those that may have changed
// what the catalogues say of names.
func defines(tag []byte) bool {
	for _, t := range []string{"CREATE ", "ALTER ", "DROP ", "IMPORT ", "DO", "CALL", "COMMIT PREPARED"} {
		if strings.HasPrefix(string(tag), t) {
			return true
		}
	}
	return false
}

// settles reports whether a command's tag is one of those that may have changed
// what sessions begin with: ALTER ROLE SET and ALTER DATABASE SET.
func settles(tag []byte) bool {
	return strings.HasPrefix(string(tag), "ALTER ROLE") || strings.HasPrefix(string(tag), "ALTER DATABASE")
}

func position(t meridian.Token) wire.Position {
	return wire.Position{System: t.System, Timeline: t.Timeline, LSN: uint64(t.LSN)}
}
