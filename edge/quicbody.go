package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/quic-go/quic-go"

	"meridian/internal/framing"
	"meridian/internal/h3conn"
)

// whole gives a request a body that fails unless it is whole. It returns false if
// the stream that the body comes on is not known.
func (d *quicDoor) whole(g *guest, r *http.Request) bool {
	s := g.stream(r.Body)
	if s == nil {
		d.deps.Log.Error("a request of HTTP/3 has no stream")
		return false
	}
	r.Body = &strictBody{h3conn.NewBody(r.Body, s), d, g.conn, s}
	return true
}

// A strictBody ends its connection, or its stream, for what is no body.
type strictBody struct {
	io.ReadCloser
	door   *quicDoor
	conn   *quic.Conn
	stream *quic.Stream
}

func (b *strictBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if breach := (*h3conn.Breach)(nil); errors.As(err, &breach) {
		b.door.breached(b.conn, b.stream, breach)
		err = fmt.Errorf("%w: %w", framing.ErrMalformed, err)
	}
	return n, err
}

// breached ends what a breach is to end. It may be called again.
func (d *quicDoor) breached(c *quic.Conn, s *quic.Stream, breach *h3conn.Breach) {
	if c.Context().Err() == nil {
		d.watch.cut(c.RemoteAddr(), Cut(framing.Malformed), breach.Error())
	}
	if breach.Connection {
		c.CloseWithError(quic.ApplicationErrorCode(breach.Code), "")
		return
	}
	s.CancelRead(quic.StreamErrorCode(breach.Code))
	s.CancelWrite(quic.StreamErrorCode(breach.Code))
}
