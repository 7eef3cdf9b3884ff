package postgres

import (
	"context"
	"time"

	"meridian/postgres/wire"
)

// notHere returns the refusal of what may be sent again, to whoever is the
// primary.
func (p *Proxy) notHere(why string) *wire.Refusal {
	if p.gate.yields.on.Load() {
		p.gate.yields.last.Store(time.Now().UnixNano())
		return p.returning()
	}
	return &wire.Refusal{Code: stateNotSent, Away: true, Message: why}
}

// admit decides on a peer's stream. A secondary may know of a new primary
// before the primary itself does, and a lease takes a moment to be confirmed:
// its sessions wait for that here, where the wait costs no round trip.
func (p *Proxy) admit(ctx context.Context, hello wire.Hello) *wire.Refusal {
	for h := p.hold(); ; h.wait(ctx, nil, nil) {
		r := p.refuse(hello)
		if hello.Purpose != wire.PurposeSession {
			return r
		}
		primary, _ := p.deps.Map.Now().Primary()
		switch why := p.gate.shut(false); {
		case r != nil && (r.Returns || !(r.Away && hello.Term > primary.Term)):
			return r
		case r == nil && why == "":
			return nil
		case r == nil && p.gate.paused.Load():
			return p.notHere(why)
		case h.left() <= 0 || ctx.Err() != nil:
			return p.notHere(p.gate.shut(false))
		}
	}
}

// begins notes a frame that is about to be sent to PostgreSQL. It reports false
// if the frame begins a group and the gate is shut: the group must wait.
func (s *peer) begins(f wire.Frame) bool {
	s.use()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = false
	t := f.Type()
	switch {
	case s.farewell != nil:
		return true
	case t == 'd', t == 'c', t == 'f':
		s.owed -= s.dues.data(t)
		return true
	case !s.mid && s.p.gate.shut(s.status != 'I' && s.owed == 0) != "":
		return false
	}
	s.mid, s.unsent = true, true
	if s.dues.sent(t) {
		s.mid = false
		s.owed++
	}
	if t == 'Q' || t == 'S' || t == 'F' {
		s.taken++
	}
	return true
}

// queue waits with a group for the gate. If the gate will not open the session
// is given back to the secondary, once all that was sent is answered.
func (s *peer) queue(ctx context.Context, f wire.Frame) {
	for h := s.p.hold(); !s.begins(f) && !s.gone.Load() && ctx.Err() == nil; h.wait(ctx, nil, nil) {
		_, here := s.p.primary()
		s.mu.Lock()
		block := s.status != 'I'
		why := s.p.gate.shut(block)
		if gaveUp := h.left() <= 0 || !here || s.p.gate.paused.Load(); s.owed == 0 && gaveUp && why != "" {
			r := s.p.notHere(why)
			if block {
				e := errMoving(why)
				r = &wire.Refusal{Code: e.Code, Message: e.Message + ": " + e.Detail}
			}
			s.farewellLocked(r)
		}
		s.mu.Unlock()
	}
}

// farewellLocked ends the session once its replies are relayed. Nothing that
// comes from now on is run.
func (s *peer) farewellLocked(r *wire.Refusal) {
	s.farewell = r
	s.left.Store(true)
	s.backend.Conn.SetReadDeadline(past)
}

// over reports whether what comes is not run any more.
func (s *peer) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.farewell != nil
}
