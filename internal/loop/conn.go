//go:build linux && (amd64 || arm64)

package loop

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Conn is a socket of a loop. It keeps net.Conn's contract.
type Conn struct {
	fd            int
	at            int32 // its slot; guarded by loop.mu
	room          bool  // it is registered for room to write; guarded by loop.mu
	local, remote net.Addr

	loop atomic.Pointer[loop]
	refs atomic.Int32 // system calls under way, and one until it is closed
	shut atomic.Bool
	over atomic.Bool // the other end has closed, or it broke: it stays readable

	in, out side
	row     int        // reads in a row without a wait; of who reads
	wmu     sync.Mutex // serialises writes
}

// A side is one direction of a Conn.
type side struct {
	ready atomic.Bool // there may be something to read, or room to write
	late  atomic.Bool // its deadline is past

	// Guarded by the loop's mu.
	waits    []waiter
	deadline time.Time
	timer    *time.Timer
}

// A waiter is a fiber, or somebody who waits for a channel to be closed.
type waiter struct {
	fiber *fiber
	done  chan struct{}
}

func (w waiter) wake() {
	if w.fiber != nil {
		w.fiber.wake()
	} else {
		close(w.done)
	}
}

// wake lets all go on that wait. The caller holds the loop's mu.
func (s *side) wake(*loop) {
	for i, w := range s.waits {
		s.waits[i] = waiter{}
		w.wake()
	}
	s.waits = s.waits[:0]
}

// inARow is after how many reads a fiber lets others run, though there is more.
const inARow = 16

// atOnce is how much is written in a system call that the scheduler is not told
// of, as it cannot wait and does not take long.
const atOnce = 64 << 10

// Read reads what is there, and waits where there is nothing.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		n, err := c.ReadNow(b)
		if err == ErrNothing {
			c.row = 0
			c.wait(&c.in)
			continue
		}
		if n > 0 {
			c.cede()
		}
		return n, err
	}
}

// cede lets others run if the fiber has read for long.
func (c *Conn) cede() {
	if c.row++; c.row < inARow {
		return
	}
	c.row = 0
	l := c.loop.Load()
	f := l.current()
	if f == nil {
		return
	}
	l.mu.Lock()
	f.again = true
	l.mu.Unlock()
	f.yield(struct{}{})
}

func (c *Conn) recv(b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(min(len(b), atOnce)), 0, 0, 0)
	read(c.fd)
	return int(n), errno
}

// Write writes all of b, and waits where there is no room.
func (c *Conn) Write(b []byte) (written int, err error) {
	if r := c.loop.Load().ring; r == nil {
		c.wmu.Lock()
	} else if r.lock(c); r.add(c, b) {
		return len(b), nil
	}
	defer c.wmu.Unlock()
	return c.write(b)
}

// write is Write. The caller holds wmu.
func (c *Conn) write(b []byte) (written int, err error) {
	for {
		if err := c.may(&c.out); err != nil {
			return written, c.failed("write", err)
		}
		if written == len(b) {
			return written, nil
		}
		if !c.out.ready.Load() {
			c.wait(&c.out)
			continue
		}
		if !c.enter() {
			continue
		}
		c.out.ready.Store(false)
		n, errno := c.send(b[written:])
		if errno != unix.EAGAIN {
			c.out.ready.Store(true)
		}
		c.leave()
		switch errno {
		case 0:
			written += n
			if written == len(b) {
				return written, nil
			}
		case unix.EAGAIN, unix.EINTR:
		default:
			return written, c.failed("write", os.NewSyscallError("write", errno))
		}
	}
}

func (c *Conn) send(b []byte) (int, syscall.Errno) {
	written(c.fd)
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(min(len(b), atOnce)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// may returns why nothing is read or written any more, or nil.
func (c *Conn) may(s *side) error {
	if c.shut.Load() {
		return net.ErrClosed
	}
	if s.late.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// failed is the error as package net puts it.
func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// enter keeps the descriptor from being closed, and with that used for something
// else, until leave. It reports false if it is closed.
func (c *Conn) enter() bool {
	for {
		n := c.refs.Load()
		if c.shut.Load() || n == 0 {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *Conn) leave() {
	if c.refs.Add(-1) == 0 {
		unix.Close(c.fd)
	}
}

// wait waits until something about a side may have changed.
func (c *Conn) wait(s *side) {
	l := c.loop.Load()
	me := waiter{fiber: l.current()}
	if me.fiber == nil {
		l.group.Slow() // it may be a fiber of another loop
		me.done = make(chan struct{})
	}
	l.mu.Lock()
	waits := c.waitLocked(s, me)
	l.mu.Unlock()
	if !waits {
		return
	}
	if me.fiber != nil {
		me.fiber.yield(struct{}{})
	} else {
		<-me.done
	}
}

// waitLocked has somebody wait until something about a side may have changed. It
// reports false if something has. The caller holds the loop's mu.
func (c *Conn) waitLocked(s *side, w waiter) bool {
	l := c.loop.Load()
	if l.ending {
		c.shut.Store(true)
	}
	if c.shut.Load() || s.late.Load() || s.ready.Load() {
		return false
	}
	s.waits = append(s.waits, w)
	if s == &c.out {
		l.watchRoom(c, true)
	}
	return true
}

// Close closes the socket. Who waits for it gets net.ErrClosed.
func (c *Conn) Close() error {
	if !c.shut.CompareAndSwap(false, true) {
		return c.failed("close", net.ErrClosed)
	}
	l := c.loop.Load()
	l.mu.Lock()
	for _, s := range []*side{&c.in, &c.out} {
		if s.timer != nil {
			s.timer.Stop()
		}
		s.wake(l)
	}
	if !l.ending {
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	}
	l.dropLocked(c)
	l.mu.Unlock()
	c.leave()
	return nil
}

// CloseWrite says that nothing more is written.
func (c *Conn) CloseWrite() error {
	if r := c.loop.Load().ring; r != nil {
		r.lock(c)
		c.wmu.Unlock()
	}
	if !c.enter() {
		return c.failed("close", net.ErrClosed)
	}
	defer c.leave()
	return os.NewSyscallError("shutdown", unix.Shutdown(c.fd, unix.SHUT_WR))
}

// move takes a Conn that nobody uses to another loop. One that cannot be moved
// stays, which is right and slower.
func (c *Conn) move(to *loop) {
	from := c.loop.Load()
	if from == to || !c.enter() {
		return
	}
	defer c.leave()
	from.mu.Lock()
	if from.ending || unix.EpollCtl(from.epoll, unix.EPOLL_CTL_DEL, c.fd, nil) != nil {
		from.mu.Unlock()
		return
	}
	from.dropLocked(c)
	from.mu.Unlock()
	if to.add(c) != nil && from.add(c) != nil {
		c.shut.Store(true)
		c.leave()
	}
}

// LocalAddr and RemoteAddr are those of the connection that was adopted.
func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.remote }
