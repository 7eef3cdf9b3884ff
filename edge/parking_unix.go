//go:build unix

package edge

import "syscall"

const canPark = true

// hasBytes reports whether a read of a socket would not wait.
func hasBytes(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}
