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

	"meridian/server"
)

// errEnded is how the process ended that was kept.
var errEnded = errors.New("the process of the node ended with an error")

// keep stays for as long as the node runs in other processes, and passes signals
// on to the one that has its place: whoever started this one knows no other.
// Under systemd, which is told, it is not needed.
func keep(ctx context.Context, state string, pid int) error {
	if ctx.Err() != nil { // somebody asked for the end while this one drained
		syscall.Kill(pid, syscall.SIGTERM)
	}
	orphans() // those that are left by one of them are this process's
	debug.FreeOSMemory()
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(got)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case s := <-got:
			syscall.Kill(pid, s.(syscall.Signal))
		case <-tick.C:
		}
		failed := false
		for {
			var status syscall.WaitStatus
			child, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err != nil || child <= 0 {
				break
			}
			if child == pid {
				failed = status.Signaled() || status.ExitStatus() != 0
			}
		}
		if holder := server.Holder(state); holder != 0 && alive(holder) {
			pid = holder
		}
		if !alive(pid) {
			if failed {
				return errEnded
			}
			return nil
		}
	}
}

// keepEvery is how soon the end of a process is noticed.
const keepEvery = 200 * time.Millisecond

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), unix.ESRCH) }
