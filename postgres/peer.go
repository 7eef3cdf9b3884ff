package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// A peer is a session of another region's proxy, served here because this
// region is the primary.
type peer struct {
	idleness
	p       *Proxy
	conn    net.Conn
	rd      *wire.Reader
	backend *pool.Backend
	from    string   // the secondary's region
	began   uint32   // the timeline on which its server was when it was taken; 0 if that could not be asked
	late    []string // what is to be brought once PostgreSQL passes over nothing more, and no block has failed; of the goroutine of requests
	settles bool     // what ran since the last transaction's end may have changed what sessions begin with; as defines
	defines bool     // what ran since the last transaction's end may have changed the catalogues; of the goroutine of replies

	canceled atomic.Bool // because the primary moves
	overtime atomic.Bool // the secondary was told that a statement was canceled for that
	left     atomic.Bool // farewell is set
	gone     atomic.Bool // no more replies will come

	cancels sync.WaitGroup // of requests on their way; added to under mu, until given

	mu       sync.Mutex // guards what follows
	taken    int        // groups that ended, as sent
	owed     int        // those of them that wait for ReadyForQuery
	dues     dues       // what they wait for
	unsent   bool       // something of the group that came last is not PostgreSQL's yet
	mid      bool       // a group has begun and not ended
	status   byte
	given    bool          // the backend is about to go to others
	lends    bool          // the secondary may be asked to give it back
	asked    bool          // and was, since it was used
	pinned   string        // why the session cannot move
	farewell *wire.Refusal // what the secondary is told once all else is; nothing more is run
	strip    chan error    // where the end of a hidden statement is told; nil: nothing is hidden
	stripOf  error
}

// servePeer serves one stream of another region's proxy.
func (p *Proxy) servePeer(ctx context.Context, conn net.Conn) {
	rd := wire.NewReader(conn)
	f, err := rd.Frame()
	if err != nil {
		return
	}
	var h wire.Hello
	if f.Type() != wire.FrameHello || wire.ParseJSON(f.Body(), &h) != nil {
		p.deps.Log.Warn("a peer's stream begins with no hello")
		return
	}
	if r := p.admit(ctx, h); r != nil {
		conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, *r))
		return
	}
	switch h.Purpose {
	case wire.PurposeCancel:
		p.cancelPeer(ctx, h.ID, h.Groups)
	case wire.PurposeProbe:
		if h.Defined {
			conn = p.tellDefined(conn)
			defer conn.Close()
		}
		p.answerProbes(ctx, conn, rd)
	case wire.PurposeDoubt:
		p.answerDoubt(ctx, conn, rd)
	case wire.PurposeSession:
		p.servePeerSession(ctx, conn, rd, h)
	}
}

// refuse says why a stream is not served, or returns nil.
func (p *Proxy) refuse(h wire.Hello) *wire.Refusal {
	region, here := p.primary()
	switch {
	case h.Version != wire.PeerVersion:
		return &wire.Refusal{Code: stateNotSupported, Message: fmt.Sprintf("version %d of the proxies' protocol is not spoken here", h.Version)}
	case !here && h.Purpose != wire.PurposeCancel:
		return p.notHere(fmt.Sprintf("%s is not the primary's region, %q is", p.cfg.Region, region))
	case p.gate.yields.on.Load() && h.Purpose == wire.PurposeSession:
		return p.notHere("")
	case p.gate.yields.on.Load() && h.Purpose != wire.PurposeCancel:
		return p.returning()
	case h.Purpose != wire.PurposeSession:
		return nil
	case h.Database != p.cfg.Database:
		return &wire.Refusal{Code: stateNoDatabase, Message: fmt.Sprintf("database %q does not exist", h.Database)}
	case h.Role != p.cfg.Role && p.cfg.Users[h.Role] == "":
		return &wire.Refusal{Code: stateAuthorization, Message: fmt.Sprintf("role %q does not exist", h.Role)}
	}
	return nil
}

func (p *Proxy) servePeerSession(ctx context.Context, conn net.Conn, rd *wire.Reader, h wire.Hello) {
	p.heedParams(h.Params)
	for _, sql := range h.State.SQL {
		p.heed([]byte(sql))
	}
	b, err := p.pool.Acquire(ctx, h.Who, h.Role, h.Params)
	if err == nil {
		if _, err = b.Run(h.State.SQL...); err != nil {
			b.Close()
		}
	}
	if err != nil {
		e := pgError(err)
		conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: e.Code, Message: e.Message, Others: e.Rest(), Away: passes(err)}))
		return
	}
	s := &peer{p: p, conn: conn, rd: rd, backend: b, from: h.From, began: p.timeline(ctx), status: 'I', lends: h.Lends}
	defer p.senders.stands(b.Key.PID, sender{h.From, h.Number})()
	p.mu.Lock()
	p.peers[h.ID] = s
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		if p.peers[h.ID] == s { // the session may be back on a new stream
			delete(p.peers, h.ID)
		}
		p.mu.Unlock()
	}()
	if p.gate.paused.Load() { // since it was admitted
		s.leave(ctx, finishing)
	}
	if _, err := conn.Write(wire.Builder(nil).Message(wire.FrameWelcome, b.Params, wire.Builder(nil).Parameter(paramProcess, fmt.Sprint(b.Key.PID)).Parameter(paramTimeline, fmt.Sprint(s.began)))); err != nil {
		b.Release(true)
		return
	}
	s.serve(ctx)
}

// serve relays until either end is gone.
func (s *peer) serve(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.replies(ctx)
		s.gone.Store(true)
		s.conn.Close()
	}()
	err := s.requests(ctx)
	s.mu.Lock()
	s.given = true
	clean := err == nil && s.owed == 0 && s.status == 'I' && s.farewell == nil
	s.mu.Unlock()
	if clean {
		s.backend.Conn.SetReadDeadline(past)
		<-done
		s.backend.Conn.SetReadDeadline(noDeadline)
		s.cancels.Wait()
		s.backend.Release(s.backend.Reader.Buffered() == 0)
		return
	}
	s.p.watch.leaks()
	s.backend.Conn.Close()
	<-done
	s.backend.Close()
}

// requests brings the secondary's frames to PostgreSQL. It returns nil when
// the secondary gives the session back.
func (s *peer) requests(ctx context.Context) error {
	var out []byte
	for {
		if len(out) > 0 && (!s.rd.Ready() || len(out) > full) {
			if err := s.write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		f, err := s.rd.Frame()
		if err != nil {
			return ended(err)
		}
		switch f.Type() {
		case 'Q', 'P', 'B', wire.FrameState:
			s.p.heed(f.Body())
		}
		if f.Type() == wire.FramePin {
			s.mu.Lock()
			s.pinned = string(f.Body())
			s.mu.Unlock()
			continue
		}
		if !s.begins(f) {
			if _, err := s.backend.Conn.Write(out); err != nil {
				return err
			}
			out = out[:0]
			s.queue(ctx, f)
		}
		if s.over() {
			continue
		}
		if f.Type() == wire.FrameState {
			if err := s.state(ctx, f, out); err != nil {
				return err
			}
			out = out[:0]
			continue
		}
		if out = append(out, f...); len(s.late) > 0 && (f.Type() == 'S' || f.Type() == 'Q' || f.Type() == 'F') {
			if err := s.belated(ctx, out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
}

// write sends PostgreSQL all that came.
func (s *peer) write(out []byte) error {
	_, err := s.backend.Conn.Write(out)
	s.mu.Lock()
	s.unsent = false
	s.mu.Unlock()
	return err
}

// ended returns nil for an orderly end of the stream.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, errEOF) {
		return nil
	}
	return err
}
