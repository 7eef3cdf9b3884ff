package stricthttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"meridian/internal/framing"
)

// ErrSlow is the error of a handshake that was not complete in time.
var ErrSlow = errors.New("the handshake was not complete in time")

// Shake completes a server's handshake within a time. Who speaks HTTP where HTTPS
// is spoken is told so.
func Shake(ctx context.Context, c *tls.Conn, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := c.HandshakeContext(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrSlow
	}
	explain(err)
	return err
}

func explain(err error) {
	var e tls.RecordHeaderError
	if errors.As(err, &e) && e.Conn != nil && e.RecordHeader[0] >= 'A' && e.RecordHeader[0] <= 'Z' {
		io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis is the port of HTTPS.\n")
	}
}

// Guard returns a connection whose handshake is over behind the guard of what was
// agreed there: a [framing.H2] or a [framing.H1]. Other protocols were for the
// handshake alone.
func Guard(c *tls.Conn, cfg framing.Config) (net.Conn, error) {
	switch proto := c.ConnectionState().NegotiatedProtocol; proto {
	case "h2":
		return framing.NewH2(c, cfg), nil
	case "", "http/1.1", "http/1.0": // each request says which of the two it is
		return framing.NewH1(c, cfg), nil
	default:
		c.CloseWrite()
		return nil, fmt.Errorf("nobody speaks %s", proto)
	}
}
