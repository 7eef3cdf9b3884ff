package framing

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// idling is what an H1 knows of its connection's rest between two requests. All
// but leaving is set by the goroutine that reads, or while none does.
type idling struct {
	now     bool      // net/http waits for the next request
	again   bool      // it was parked, and no byte of a request has come since
	until   time.Time // when net/http would give up, had it never left; zero: never
	asked   time.Time // the deadline that net/http set last
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
	c.idle.now, c.idle.again = c.cfg.Park != nil && !c.raw.Load() && c.err == nil, false
}

// Resume says that a parked connection is about to be served again. What woke it
// may be no request, but a part of a record of TLS, or one that carries nothing:
// then it is idle as before, and is not held to the time that a head may take.
func (c *H1) Resume() { c.idle.now, c.idle.again = true, true }

// Under returns what the connection is below.
func (c *H1) Under() Secure { return c.Secure }

// Bye ends a parked connection.
func (c *H1) Bye() { c.Secure.Close() }

// SetReadDeadline implements net.Conn. An idle connection is looked at before
// its time is over.
func (c *H1) SetReadDeadline(t time.Time) error {
	if !c.idle.now {
		return c.Secure.SetReadDeadline(t)
	}
	if c.idle.asked = t; !c.idle.again {
		c.idle.until = t
	}
	soon := time.Now().Add(c.cfg.ParkAfter)
	if until := c.idle.until; !until.IsZero() && until.Before(soon) {
		soon = until
	}
	return c.Secure.SetReadDeadline(soon)
}

// await waits for the first byte of the next request, and gives up after a
// while. When a read of TLS times out it holds no whole record: whatever comes
// next comes from the socket.
func (c *H1) await() error {
	err := c.fill()
	c.idle.now = false
	if err == nil {
		return c.Secure.SetReadDeadline(c.idle.asked)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && (c.idle.until.IsZero() || time.Now().Before(c.idle.until)) {
		c.idle.leaving.Store(true) // net/http closes in silence who sent nothing in time: that parks it
	}
	return err
}
