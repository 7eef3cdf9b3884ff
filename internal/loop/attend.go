//go:build linux && (amd64 || arm64)

package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// A duty is what a fiber does again and again with what comes on a Conn. The loop
// does it in the fiber's place, on its own stack: a switch to the fiber and back,
// to a stack that no cache holds, costs more than many a duty. What takes long, or
// is rare, is left to the fiber. First all of those take to whom something has
// come, and then all send: a processor that does the same for many is quicker.
type duty struct {
	conn       *Conn
	take, send func() bool
	took       bool // send is next
	broken     *Panic
}

// ErrNothing is what ReadNow returns where Read would wait.
var ErrNothing = errors.New("nothing to read yet")

// Attend has take deal with what comes on conn, and then send send what there is
// to be sent, until one of them reports false: it has left something to the
// caller. The loop calls them in place of the fiber that calls Attend, take
// whenever there may be something to read or conn is at its end, send once all
// that others of the loop have got meanwhile is taken too. take reads by ReadNow.
// Both may wait as a fiber may, which is dearer. Attend returns at once where the caller is
// no fiber of conn's loop. A panic of theirs is the caller's, as a *Panic.
func Attend(conn net.Conn, take, send func() bool) {
	c, ok := conn.(*Conn)
	if !ok {
		return
	}
	l := c.loop.Load()
	f := l.current()
	if f == nil {
		return
	}
	for {
		l.mu.Lock()
		waits := c.waitLocked(&c.in, waiter{fiber: f})
		l.mu.Unlock()
		if waits {
			break
		}
		if !take() || !send() {
			return
		}
		c.cede()
	}
	f.duty = duty{conn: c, take: take, send: send}
	f.yield(struct{}{})
	p := f.duty.broken
	if f.duty = (duty{}); p != nil {
		panic(p)
	}
}

// do does the next part, and reports false if the fiber must do the rest.
func (d *duty) do() (done bool) {
	defer func() {
		if r := recover(); r != nil {
			d.broken = &Panic{r, debug.Stack()}
		}
	}()
	if d.took = !d.took; d.took {
		return d.take()
	}
	return d.send()
}

// ReadNow reads what is there, or returns ErrNothing.
func (c *Conn) ReadNow(b []byte) (int, error) {
	for {
		if err := c.may(&c.in); err != nil {
			return 0, c.failed("read", err)
		}
		if len(b) == 0 {
			return 0, nil
		}
		if !c.in.ready.Load() {
			return 0, ErrNothing
		}
		if !c.enter() {
			continue
		}
		// Before the call: what comes after it sets the flag again (epoll(7),
		// question 9).
		c.in.ready.Store(false)
		n, errno := c.recv(b)
		if errno != unix.EAGAIN && (errno != 0 || n == min(len(b), atOnce) || n == 0 || c.over.Load()) {
			c.in.ready.Store(true) // there may be more, as behind an error the end; a short read says that there is not
		}
		c.leave()
		switch {
		case errno == unix.EAGAIN, errno == unix.EINTR:
		case errno != 0:
			return 0, c.failed("read", os.NewSyscallError("read", errno))
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
