package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"meridian/internal/leash"
	"meridian/server"
)

// errEnded is how the process ended that was kept.
var errEnded = errors.New("the process of the node ended with an error")

// keep stays for as long as the node runs in other processes, and passes signals
// on to the one that has its place: whoever started this one knows no other.
// Under systemd, which is told, it is not needed.
func keep(ctx context.Context, state string, pid int, asked asked) error {
	orphans() // those that are left by one of them are this process's
	debug.FreeOSMemory()
	ended := make(chan os.Signal, 2)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(ended)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	asksEnd := ctx.Done() // also before, while this one drained
	for {
		var got os.Signal
		select {
		case <-asksEnd:
			got, asksEnd = syscall.SIGTERM, nil
		case got = <-ended:
		case got = <-asked.restart:
		case got = <-asked.reload:
		case <-tick.C:
		}
		pid = holder(state, pid)
		if s, ok := got.(syscall.Signal); ok {
			syscall.Kill(pid, s)
		}
		failed := reap(pid)
		if pid = holder(state, pid); !alive(pid) {
			if failed {
				return errEnded
			}
			return nil
		}
	}
}

// reap takes leave of all children that have ended, and reports whether pid was
// among them and failed.
func reap(pid int) (failed bool) {
	for {
		var status syscall.WaitStatus
		child, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err != nil || child <= 0 {
			return failed
		}
		if child == pid {
			failed = status.Signaled() || status.ExitStatus() != 0
		}
	}
}

// keepEvery is how soon the end of a process is noticed.
const keepEvery = 200 * time.Millisecond

// holder returns the process that has the node's place: the last that is known, if
// none that lives says that it has.
func holder(state string, last int) int {
	if pid := server.Holder(state); pid != 0 && alive(pid) {
		return pid
	}
	return last
}

// asked are the signals by which somebody asks a node for something. They are
// heard for as long as the process lives: between two who wait for them they wait.
// In an up world they are not: the terminal's end is the supervisor's business.
type asked struct{ restart, reload chan os.Signal }

func hear() asked {
	if os.Getenv(leash.Variable) != "" {
		return asked{}
	}
	a := asked{make(chan os.Signal, 1), make(chan os.Signal, 1)}
	signal.Notify(a.restart, syscall.SIGUSR2)
	signal.Notify(a.reload, syscall.SIGHUP)
	return a
}

// pass tells the process that has the node's place what this one was asked for and
// has not done.
func (a asked) pass(state string, pid int) {
	for {
		select {
		case s := <-a.restart:
			syscall.Kill(holder(state, pid), s.(syscall.Signal))
		case s := <-a.reload:
			syscall.Kill(holder(state, pid), s.(syscall.Signal))
		default:
			return
		}
	}
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), unix.ESRCH) }
