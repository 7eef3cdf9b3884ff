package pool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

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
