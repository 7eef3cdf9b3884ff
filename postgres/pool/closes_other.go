//go:build !linux

package pool

import "golang.org/x/sys/unix"

// closes is what poll says of an end that the other side has closed; not all
// systems tell that from a whole connection that is gone.
const closes = unix.POLLHUP
