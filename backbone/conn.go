package backbone

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// NodeOf returns the node at the other end of a connection that a Backbone
// made or accepted, through any wrapper that has a NetConn method, or "".
func NodeOf(c net.Conn) string {
	for {
		switch v := c.(type) {
		case interface{ peerNode() string }:
			return v.peerNode()
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return ""
		}
	}
}

// A conn is a TLS connection of its own. Its type hides that from net/http,
// which would look for an ALPN name that it knows.
type conn struct {
	net.Conn
	node string
}

func (c *conn) peerNode() string { return c.node }

// CloseWrite sends the end of this direction.
func (c *conn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// errLinkLost is what a stream's reads and writes end with when its link broke.
var errLinkLost = errors.New("the link was lost")

// A stream is a part of a link.
type stream struct {
	*yamux.Stream
	session *mux
	node    string
	closed  atomic.Bool
}

func (s *stream) peerNode() string { return s.node }

// Read reads what has arrived. A link that breaks is an error here, where
// yamux would call it the end of the stream.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if errors.Is(err, io.EOF) && s.session.IsClosed() {
		err = errLinkLost
	}
	return n, s.opError("read", err)
}

// frame is how much of a Write goes out at once: one TLS record, so that
// streams take turns and the link's own pings wait for little.
const frame = 16 << 10

// Write sends b. It blocks while 16 MiB wait for the other end to read them.
func (s *stream) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var m int
		m, err = s.Stream.Write(b[:min(len(b), frame)])
		n, b = n+m, b[m:]
	}
	if err != nil && s.session.IsClosed() {
		err = errLinkLost
	}
	return n, s.opError("write", err)
}

// Close ends the stream in both directions. A Read that waits returns, which
// yamux alone would not see to.
func (s *stream) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.Stream.Close()
	s.Stream.SetDeadline(time.Unix(1, 0))
	return err
}

func (s *stream) opError(op string, err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case s.closed.Load():
		err = net.ErrClosed
	case errors.Is(err, yamux.ErrTimeout):
		err = os.ErrDeadlineExceeded
	}
	return &net.OpError{Op: op, Net: "backbone", Addr: s.RemoteAddr(), Err: err}
}
