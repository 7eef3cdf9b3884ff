//go:build !linux

package delay

// NewClock returns a clock of plain timers: this system has no timerfd.
func NewClock() Clock { return Timers{} }
