package pool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Ended reports whether PostgreSQL has closed its end, at this instant and
// whoever is reading: what it said before may not be read yet.
func (b *Backend) Ended() bool {
	sc, ok := b.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	const gone = unix.POLLHUP | closes | unix.POLLERR | unix.POLLNVAL
	at := []unix.PollFd{{Events: closes}}
	err = raw.Control(func(fd uintptr) {
		at[0].Fd = int32(fd)
		if _, err := unix.Poll(at, 0); err != nil {
			at[0].Revents = gone
		}
	})
	return err != nil || at[0].Revents&gone != 0
}

// Taken reports whether PostgreSQL has read all that it was sent, as far as its
// socket can tell.
func (b *Backend) Taken() bool {
	sc, ok := b.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	left := 0
	raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	return left == 0
}

// Quiet reports whether an idle backend has nothing to say: what it says then is
// its end.
func (b *Backend) Quiet() bool { return b.Reader.Buffered() == 0 && b.alive() }

// Waits reports whether PostgreSQL has sent something that is not read yet. Only
// who reads may ask.
func (b *Backend) Waits() bool { return b.Reader.Ready() || !b.alive() }

// alive reports whether a warm backend still stands: an idle connection has
// nothing to read, so whatever can be peeked means that PostgreSQL closed it,
// or says why it is about to.
func (b *Backend) alive() bool {
	sc, ok := b.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
		return true
	})
	return err == nil && quiet
}
