package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// errAdopted is how every adopted process ends: only its parent learns how.
var errAdopted = errors.New("it ended; how is not known, since it was started by another process")

// Adopt takes over a process that an earlier one started with Outlive. check
// is asked whether pid is the process that is meant, once it cannot become
// another one's any more.
func Adopt(pid int, check func() bool) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", pid, err)
	}
	if !check() {
		unix.Close(fd)
		return nil, fmt.Errorf("adopt process %d: it is another one: %w", pid, os.ErrProcessDone)
	}
	p := &Process{pid: pid, done: make(chan struct{}), err: errAdopted}
	p.send = func(sig syscall.Signal) error {
		err := unix.PidfdSendSignal(fd, sig, nil, 0)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	go func() { // ends with the process; done says so
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(poll, -1); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		p.mu.Lock()
		p.reaped = true
		unix.Close(fd)
		p.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}
