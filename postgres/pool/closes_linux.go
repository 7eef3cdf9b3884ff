package pool

import "golang.org/x/sys/unix"

// closes is what poll says of an end that the other side has closed.
const closes = unix.POLLRDHUP
