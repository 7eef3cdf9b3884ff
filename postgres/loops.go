package postgres

import (
	"net"

	"meridian/internal/loop"
	"meridian/postgres/pool"
)

// A session's two parts, which read from the client and from the primary, are
// fibers of one loop where both stand on sockets (package loop), and goroutines
// elsewhere. What a fiber waits for but for sockets of its loop holds the loop up
// for a moment, unless Slow goes before it.

// An adopting listener puts the connections that it accepts on loops.
type adopting struct {
	net.Listener
	loops *loop.Group
}

func (a adopting) Accept() (net.Conn, error) {
	conn, err := a.Listener.Accept()
	if err != nil {
		return conn, err
	}
	return a.loops.Adopt(conn, nil), nil
}

// beside puts a backend that the session has just got on the loop of its client.
// One that is no socket, as where another project's server is reached over TLS,
// stays with Go's poller.
func (c *client) beside(b *pool.Backend) {
	b.Conn = c.p.loops.Adopt(b.Conn, c.conn)
	if loop.Has(b.Conn) {
		b.Reader.Reset(b.Conn)
	} else {
		b.Reader.Reset(&slowly{b.Conn, c.p.loops})
	}
}

// A slowly is a connection of Go's poller that a fiber may read.
type slowly struct {
	net.Conn
	loops *loop.Group
}

func (s *slowly) Read(b []byte) (int, error) {
	s.loops.Slow()
	return s.Conn.Read(b)
}

// loops returns those on which the session runs: none where it reads from a
// connection of Go's poller all the time.
func (c *client) loops() *loop.Group {
	if n := c.near; n != nil && !loop.Has(n.backend.Conn) {
		return nil
	}
	if u := c.main; u != nil && u.backend != nil && !loop.Has(u.conn) {
		return nil
	}
	return c.p.loops
}
