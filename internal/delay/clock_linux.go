package delay

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// NewClock returns a clock on a timerfd that Go's poller watches: it wakes in
// microseconds, where the poller's own timeout counts whole milliseconds. It
// holds a file descriptor and a goroutine while an alarm is set and for a
// second after.
func NewClock() Clock { return &ticker{open: openTimerfd} }

type timerfd struct {
	fd   int
	file *os.File // the same descriptor, registered with the poller
	buf  [8]byte  // how often it expired, which nobody needs
}

func openTimerfd() (waker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timerfd: %w", err)
	}
	return &timerfd{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

func (t *timerfd) set(d time.Duration) error {
	return unix.TimerfdSettime(t.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
}

func (t *timerfd) wait() error {
	_, err := t.file.Read(t.buf[:])
	return err
}

func (t *timerfd) close() error { return t.file.Close() }
