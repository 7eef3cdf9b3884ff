package origin

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUp bounds for how long sent bytes may be unacknowledged (RFC 5482).
func giveUp(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(giveUpAfter.Milliseconds()))
	})
}
