package edge

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"meridian/internal/framing"
	"meridian/internal/h3conn"
)

// streams are what HTTP/3's connections are served by. First they are told to
// leave, then nothing more is taken of them, and in the end they are closed.
type streams struct {
	all                      sync.WaitGroup // of connections
	leaving, deaf, ended     context.Context
	setLeaving, setDeaf, end context.CancelFunc
}

func newStreams() *streams {
	s := &streams{}
	s.ended, s.end = context.WithCancel(context.Background())
	s.deaf, s.setDeaf = context.WithCancel(s.ended)
	s.leaving, s.setLeaving = context.WithCancel(s.deaf)
	return s
}

// lastCall is how long requests are taken of a client that was told to go: they
// may have been on their way (RFC 9114, section 5.2).
const lastCall = goodbye

// leave lets no newcomers in, and has the rest told to go.
func (s *streams) leave() {
	s.setLeaving()
	time.AfterFunc(lastCall, s.setDeaf) // which ended does too
}

// accept lets connections in until the door is told to leave.
func (d *quicDoor) accept() error {
	for {
		c, err := d.listener.Accept(d.streams.leaving)
		switch {
		case err == nil:
			d.streams.all.Go(func() { d.converse(c) })
		case errors.Is(err, quic.ErrServerClosed) || d.streams.leaving.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// noRequest is the stream that a first GOAWAY names: none is refused yet.
const noRequest quic.StreamID = 1<<62 - 4

// converse serves one connection, and returns when it has ended.
func (d *quicDoor) converse(c *quic.Conn) {
	h, control, err := h3conn.Open(d.server, c)
	if err != nil {
		c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeInternalError), "")
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { d.listenTo(h, c, &all) })
	ctx := d.streams.leaving
	given := &givenUp{}
	var next quic.StreamID
	for told := 0; ; {
		s, err := c.AcceptStream(ctx)
		switch {
		case err == nil && told < 2:
			next = s.StreamID() + 4
			all.Go(func() { d.attend(h, c, s, given) })
		case err == nil:
			reject(s)
		case c.Context().Err() != nil:
			return
		case d.streams.ended.Err() != nil:
			c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
			return
		case told == 0:
			told = 1
			goAway(control, noRequest)
			ctx = d.streams.deaf
		default:
			told = 2
			goAway(control, next)
			ctx = d.streams.ended
		}
	}
}

// goAway tells a client which of its requests, and all after it, are not taken.
// One that gives no room to be told is not waited for.
func goAway(control *quic.SendStream, first quic.StreamID) {
	const frame = 0x7 // RFC 9114, section 7.2.6
	id := quicvarint.Append(nil, uint64(first))
	b := quicvarint.Append(quicvarint.Append(nil, frame), uint64(len(id)))
	control.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	control.Write(append(b, id...))
}

// reject says that a request was not looked at, so that it may be sent again.
func reject(s *quic.Stream) {
	s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestRejected))
	s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestRejected))
}

// attend answers one request, if its head comes in time.
func (d *quicDoor) attend(h *http3.RawServerConn, c *quic.Conn, s *quic.Stream, given *givenUp) {
	began, limit := time.Now(), d.cfg.Timeouts.Header
	s.SetReadDeadline(began.Add(limit)) // until serveRequest is called
	g, _ := c.Context().Value(guestKey{}).(*guest)
	defer g.asks(s)()
	if breach := (*h3conn.Breach)(nil); errors.As(h3conn.Begin(s), &breach) {
		d.breached(c, s, breach)
		return
	}
	h.HandleRequestStream(s)
	var e *quic.StreamError
	if !errors.As(context.Cause(s.Context()), &e) {
		return
	}
	if !e.Remote && e.ErrorCode == quic.StreamErrorCode(http3.ErrCodeRequestIncomplete) && time.Since(began) >= limit {
		d.watch.cut(c.RemoteAddr(), Cut(framing.Slow), "a head that did not come in time")
	}
	if clients(e) && given.exceeds(d.deps.Now()) {
		d.watch.cut(c.RemoteAddr(), Cut(framing.Resets), "more requests given up, or that are none, than any client needs")
		c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
	}
}

// clients reports whether a stream ended early by the client's doing: it gave up,
// or sent what had to be reset (as rapid reset and MadeYouReset have it).
func clients(e *quic.StreamError) bool {
	switch http3.ErrCode(e.ErrorCode) {
	case http3.ErrCodeMessageError, http3.ErrCodeRequestIncomplete, http3.ErrCodeFrameError, http3.ErrCodeFrameUnexpected, http3.ErrCodeGeneralProtocolError, qpackFailed:
		return true
	}
	return e.Remote
}

// qpackFailed is QPACK_DECOMPRESSION_FAILED (RFC 9204, section 6).
const qpackFailed http3.ErrCode = 0x200

// givenUp counts the requests of a connection that ended so, by the allowance that
// HTTP/2 has for RST_STREAM.
type givenUp struct {
	mu     sync.Mutex // guards what follows
	budget framing.Budget
	told   bool
}

// exceeds counts one more, and reports once that they are too many.
func (g *givenUp) exceeds(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told || g.budget.Spend(framing.Resets.Allowance(), now) {
		return false
	}
	g.told = true
	return true
}

// listenTo takes the streams on which a client speaks of the connection. What one
// is for must be said in the time of a head.
func (d *quicDoor) listenTo(h *http3.RawServerConn, c *quic.Conn, all *sync.WaitGroup) {
	for {
		s, err := c.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		all.Go(func() {
			s.SetReadDeadline(time.Now().Add(d.cfg.Timeouts.Header))
			if _, err := s.Peek(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				d.watch.cut(c.RemoteAddr(), Cut(framing.Slow), "a stream that does not say what it is for")
				s.CancelRead(quic.StreamErrorCode(http3.ErrCodeStreamCreationError))
				return
			}
			s.SetReadDeadline(time.Time{})
			h.HandleUnidirectionalStream(s)
		})
	}
}
