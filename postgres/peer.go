package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"meridian"
	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// A peer is a session of another region's proxy, served here because this
// region is the primary.
type peer struct {
	p       *Proxy
	conn    net.Conn
	rd      *wire.Reader
	backend *pool.Backend
	began   uint32 // the timeline on which its server was when it was taken; 0 if that could not be asked
	defines bool   // what ran since the last transaction's end may have changed the catalogues; of the goroutine of replies

	canceled atomic.Bool // because the primary moves
	left     atomic.Bool // farewell is set
	gone     atomic.Bool // no more replies will come

	cancels sync.WaitGroup // of requests on their way; added to under mu, until given

	mu       sync.Mutex // guards what follows
	owed     int        // groups that wait for ReadyForQuery
	mid      bool       // a group has begun and not ended
	lastSync bool       // the last group ended with Sync
	copying  bool       // PostgreSQL wants COPY data
	status   byte
	given    bool          // the backend is about to go to others
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
		p.cancelPeer(ctx, h.ID)
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
		conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: e.Code, Message: e.Message, Away: passes(err)}))
		return
	}
	s := &peer{p: p, conn: conn, rd: rd, backend: b, began: p.timeline(ctx), status: 'I'}
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

// timeline returns that of the local PostgreSQL, a primary, of now or later than
// any backend was taken before the call; 0 if it cannot be asked.
func (p *Proxy) timeline(ctx context.Context) uint32 {
	s, err := p.watch.sample(ctx)
	if err != nil || s.standby {
		return 0
	}
	return s.served.Timeline
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
			if _, err := s.backend.Conn.Write(out); err != nil {
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
			var st wire.State
			if err := wire.ParseJSON(f.Body(), &st); err != nil {
				return err
			}
			if len(st.Claims) > 0 {
				if _, err := s.backend.Conn.Write(out); err != nil {
					return err
				}
				out = out[:0]
				if err := s.holds(ctx, st.Claims); err != nil {
					return err
				}
				continue
			}
			if len(out) > 0 {
				return fmt.Errorf("state amid statements: %w", wire.ErrProtocol)
			}
			if err := s.apply(ctx, st); err != nil {
				return err
			}
			continue
		}
		out = append(out, f...)
	}
}

// ended returns nil for an orderly end of the stream.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, errEOF) {
		return nil
	}
	return err
}

// apply runs statements whose replies the secondary does not see. All must
// succeed: a session must not run on with, say, another role than it has set.
func (s *peer) apply(ctx context.Context, st wire.State) error {
	if err := s.catchUp(ctx, st.Floor); err != nil {
		return err
	}
	for _, sql := range st.SQL {
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

// replies brings PostgreSQL's messages to the secondary. Each transaction's
// end is told with a position that is at or past its commit.
func (s *peer) replies(ctx context.Context) {
	var out []byte
	var hold holder
	ran := true // something, since the last ReadyForQuery
	for {
		f, err := s.backend.Reader.Frame()
		// The end of a read by its deadline is no barrier: what PostgreSQL says
		// as it stops may slip through.
		if err != nil || s.left.Load() {
			s.mu.Lock()
			if s.strip != nil {
				s.strip <- err
				s.strip = nil
			}
			if s.farewell == nil && s.owed == 0 && !s.mid && s.status == 'I' && err != nil {
				s.farewell = s.p.notHere("its PostgreSQL was lost: " + err.Error()) // nothing is running
			}
			bye := s.farewell
			s.mu.Unlock()
			if bye != nil {
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
		case 'G':
			s.mu.Lock()
			s.copying = s.lastSync
			s.mu.Unlock()
		case 'C':
			s.defines = s.defines || defines(f.Body())
		case 'Z':
			if out, err = s.finish(ctx, out, f, ran); err != nil {
				s.p.deps.Log.Error("no position after a transaction: its session ends", "error", err)
				return
			}
		}
		ran = f.Type() != 'Z'
		out = append(out, f...)
		if len(out) > full || !s.backend.Reader.Ready() && !s.gathers() {
			if _, err := s.conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
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
	if !more || s.p.answerAlone {
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

func position(t meridian.Token) wire.Position {
	return wire.Position{System: t.System, Timeline: t.Timeline, LSN: uint64(t.LSN)}
}

// answerProbes tells a secondary how far the primary is, each time it asks.
func (p *Proxy) answerProbes(ctx context.Context, conn net.Conn, rd *wire.Reader) {
	for {
		f, err := rd.Frame()
		if err != nil || f.Type() != wire.FrameProbe {
			return
		}
		q, err := wire.ParseProbe(f.Body())
		if err != nil {
			return
		}
		s, err := p.watch.sample(ctx)
		// The lease is looked at after the position was taken: if it is valid
		// now, nobody else could have written by then.
		fenced := !p.leased() && !p.gate.relayLate
		if _, here := p.primary(); err != nil || !here || s.standby || fenced {
			conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: stateNotSent, Away: true, Message: string(p.cfg.Region) + " cannot act as the primary"}))
			return
		}
		q.Position = position(s.seen)
		if _, err := conn.Write(wire.Builder(nil).Probe(q)); err != nil {
			return
		}
	}
}

// A defining is a probe stream on which a secondary is told of definitions,
// too.
type defining struct {
	net.Conn
	stop func()
	done chan struct{} // closed once its goroutine has returned

	mu sync.Mutex // serialises writes
}

// tellDefined returns conn with a writer that tells of definitions until Close.
func (p *Proxy) tellDefined(conn net.Conn) net.Conn {
	told := make(chan struct{}, 1)
	ended := make(chan struct{})
	d := &defining{Conn: conn, done: make(chan struct{})}
	untell := p.catalogue.tell(told)
	d.stop = func() { untell(); close(ended) }
	go func() { // Close waits for it
		defer close(d.done)
		for {
			select {
			case <-told:
				d.Write(wire.Builder(nil).Message(wire.FrameDefined))
			case <-ended:
				return
			}
		}
	}()
	return d
}

func (d *defining) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Conn.Write(b)
}

func (d *defining) Close() error {
	err := d.Conn.Close()
	d.stop()
	<-d.done
	return err
}
