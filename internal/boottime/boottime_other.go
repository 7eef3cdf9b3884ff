//go:build !linux

package boottime

import "time"

var start = time.Now()

// Now reads the monotonic clock, which on some of these systems stops while
// the machine sleeps: a lease may then seem to last longer than it does.
func Now() time.Duration { return time.Since(start) }
