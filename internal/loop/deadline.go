//go:build linux && (amd64 || arm64)

package loop

import (
	"net"
	"syscall"
	"time"
)

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.set(&c.in, t); err != nil {
		return err
	}
	return c.set(&c.out, t)
}

// SetReadDeadline ends reads at t, also one that waits now.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.set(&c.in, t) }

// SetWriteDeadline ends writes at t, also one that waits now.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.set(&c.out, t) }

func (c *Conn) set(s *side, t time.Time) error {
	l := c.loop.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.shut.Load() {
		return c.failed("set", net.ErrClosed)
	}
	s.deadline = t
	if s.timer != nil {
		s.timer.Stop()
	}
	s.late.Store(false)
	if !t.IsZero() {
		c.lateLocked(s, l)
	}
	return nil
}

// lateLocked ends what waits if the deadline is past, and else looks again then.
func (c *Conn) lateLocked(s *side, l *loop) {
	d := time.Until(s.deadline)
	switch {
	case d <= 0:
		s.late.Store(true)
		s.wake(l)
	case s.timer == nil:
		s.timer = time.AfterFunc(d, func() { c.expire(s) })
	default:
		s.timer.Reset(d)
	}
}

// expire is called when a deadline may be past: it may have been moved since.
func (c *Conn) expire(s *side) {
	l := c.loop.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.shut.Load() && !s.deadline.IsZero() && !s.late.Load() {
		c.lateLocked(s, l)
	}
}

// SyscallConn gives access to the descriptor.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if c.shut.Load() {
		return nil, c.failed("raw", net.ErrClosed)
	}
	return rawConn{c}, nil
}

// A rawConn is a Conn's descriptor.
type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	if !r.c.enter() {
		return r.c.failed("raw-control", net.ErrClosed)
	}
	defer r.c.leave()
	f(uintptr(r.c.fd))
	return nil
}

func (r rawConn) Read(f func(fd uintptr) bool) error {
	return r.until(&r.c.in, "raw-read", f)
}

func (r rawConn) Write(f func(fd uintptr) bool) error {
	return r.until(&r.c.out, "raw-write", f)
}

// until calls f whenever the side may be ready, until it reports true.
func (r rawConn) until(s *side, op string, f func(fd uintptr) bool) error {
	for {
		if err := r.c.may(s); err != nil {
			return r.c.failed(op, err)
		}
		if !r.c.enter() {
			continue
		}
		was := s.ready.Swap(false)
		done := f(uintptr(r.c.fd))
		if done && was { // it may have left something
			s.ready.Store(true)
		}
		r.c.leave()
		if done {
			return nil
		}
		r.c.wait(s)
	}
}
