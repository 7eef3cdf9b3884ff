package framing

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// errParked is what net/http reads then. It closes the connection in silence,
// and that is what puts it aside.
var errParked = errors.New("the connection was put aside until its client asks again")

// idling is what an H1 knows of its connection's rest between two requests. All
// but leaving is set by the goroutine that reads.
type idling struct {
	now     bool      // net/http waits for the next request
	until   time.Time // when it would give up; zero: never
	leaving atomic.Bool
}

// leave reports once that net/http was told to leave.
func (i *idling) leave() bool { return i.leaving.CompareAndSwap(true, false) }

// Idle says that net/http waits for the next request. It has no bytes then: a
// request's are handed out line by line, and none of the next one before it is
// asked for, but for the first byte of one that has come. What is left of a body
// then is no request: net/http gave up waiting for it, and the connection ends.
func (c *H1) Idle() {
	if !c.raw.Load() && c.err == nil && (c.left > 0 || c.state >= inChunkSize) {
		c.err = io.EOF
	}
	c.idle.now = c.cfg.Park != nil && !c.raw.Load() && c.err == nil
}

// SetReadDeadline implements net.Conn. An idle connection is looked at before
// its time is over.
func (c *H1) SetReadDeadline(t time.Time) error {
	if !c.idle.now {
		return c.Secure.SetReadDeadline(t)
	}
	c.idle.until = t
	soon := time.Now().Add(c.cfg.ParkAfter)
	if !t.IsZero() && t.Before(soon) {
		soon = t
	}
	return c.Secure.SetReadDeadline(soon)
}

// await waits for the first byte of the next request, and gives up after a
// while. When a read of TLS times out it holds no whole record: whatever comes
// next comes from the socket.
func (c *H1) await() error {
	err := c.fill()
	if err == nil {
		c.idle.now = false
		return nil
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && (c.idle.until.IsZero() || time.Now().Before(c.idle.until)) {
		err = errParked
		c.idle.leaving.Store(true)
	}
	c.idle.now = false
	return err
}
