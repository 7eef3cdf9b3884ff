package function

import (
	"time"

	"golang.org/x/sys/unix"
)

// A clock tells the processor time of one thread, as any thread may ask.
type clock int32

// threadClock returns the clock of the calling thread. Its id is made as Linux
// makes the ids of clocks of a thread (include/linux/posix-timers_types.h).
func threadClock() clock { return clock(^int32(unix.Gettid())<<3 | 6) }

// now returns what the thread has used, and whether the system tells.
func (c clock) now() (time.Duration, bool) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(c), &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
