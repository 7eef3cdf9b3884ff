package edge

import "golang.org/x/sys/unix"

// outgoing asks the system how many bytes of a socket were not acknowledged.
func outgoing(fd uintptr) (int, bool) {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	return n, err == nil
}
