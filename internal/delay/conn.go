package delay

import (
	"errors"
	"net"
	"sync"
	"time"
)

// patience is how long the bytes that stand behind a Close may wait for a cut
// line to be mended, or for a peer that does not read.
const patience = 30 * time.Second

// How the outgoing direction ends.
var (
	errHalf = errors.New("delay: one direction is closed")
	errFull = errors.New("delay: the connection is closed")
)

// A Conn is a connection on a line. This end holds the bytes of both
// directions, so the other end must not be wrapped.
type Conn struct {
	inner   net.Conn
	out, in *queue
	ending  sync.Once
	shut    chan struct{} // closed by Close and Abort
	done    chan struct{} // closed when nothing is left of c
}

func newConn(inner net.Conn, line *Line, clock Clock) *Conn {
	return &Conn{
		inner: inner,
		out:   newQueue(line, outward, clock),
		in:    newQueue(line, inward, clock),
		shut:  make(chan struct{}),
		done:  make(chan struct{}),
	}
}

// run carries bytes until c has ended.
func (c *Conn) run() {
	defer close(c.done)
	var in sync.WaitGroup
	in.Go(c.pumpIn)
	c.pumpOut()
	in.Wait()
	c.out.close()
	c.in.close()
}

// pumpIn carries what arrives from inner until it ends.
func (c *Conn) pumpIn() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.inner.Read(buf)
		if _, perr := c.in.put(buf[:n]); perr != nil {
			return
		}
		if err != nil {
			c.in.finish(err)
			return
		}
	}
}

// pumpOut carries what was written to inner, and closes inner at the end.
func (c *Conn) pumpOut() {
	defer c.inner.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.out.take(buf)
		if err == nil {
			_, err = c.inner.Write(buf[:n])
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, errFull):
			return
		case errors.Is(err, errHalf):
			c.inner.(closeWriter).CloseWrite()
		default:
			c.out.abort(err) // the writer hears of it with its next write
		}
		<-c.shut
		return
	}
}

// Read reads what has arrived.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := c.in.take(b)
	return n, c.opError("read", err)
}

// Write sends b. It blocks only while 8 MiB are on their way.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.put(b)
	return n, c.opError("write", err)
}

// Close closes the connection. What was written before is still delivered, and
// then the end, half a round trip from now.
func (c *Conn) Close() error {
	c.ending.Do(func() {
		c.in.abort(net.ErrClosed)
		c.out.finish(errFull)
		close(c.shut)
		go c.bury()
	})
	return nil
}

// bury waits for the end of a closed connection, or brings it about.
func (c *Conn) bury() {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
		c.out.abort(net.ErrClosed)
		c.inner.Close()
	}
}

type closeWriter interface{ CloseWrite() error }

// CloseWrite sends the end of this direction, if the inner connection can.
func (c *Conn) CloseWrite() error {
	if _, ok := c.inner.(closeWriter); !ok {
		return c.opError("close", errors.ErrUnsupported)
	}
	c.out.finish(errHalf)
	return nil
}

// Abort ends the connection at once, drops what is on its way, and waits until
// nothing of it is left.
func (c *Conn) Abort() {
	c.ending.Do(func() { close(c.shut) })
	c.in.abort(net.ErrClosed)
	c.out.abort(net.ErrClosed)
	c.inner.Close()
	<-c.done
}

// NetConn returns the inner connection.
func (c *Conn) NetConn() net.Conn { return c.inner }

// LocalAddr returns the inner connection's address.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr returns the inner connection's peer.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline says when a Read gives up.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.takeBy, t)
	return nil
}

// SetWriteDeadline says when a Write that waits for room gives up.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.putBy, t)
	return nil
}

// opError gives errors of this package the form of package net. Those of the
// inner connection, and io.EOF, have theirs.
func (c *Conn) opError(op string, err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, errors.ErrUnsupported) {
		return &net.OpError{Op: op, Net: c.inner.RemoteAddr().Network(), Source: c.inner.LocalAddr(), Addr: c.inner.RemoteAddr(), Err: err}
	}
	return err
}
