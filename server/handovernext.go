package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"meridian/internal/leash"
	"meridian/topology"
)

// Restart implements handover.Holder.
func (h *handing) Restart() error { return h.startNext() }

// startNext starts the next process and returns once it has this one's place, or
// could not take it.
func (h *handing) startNext() error {
	told := make(chan error, 2) // of Yield or Resume, and of the process's end
	h.mu.Lock()
	if h.waiter != nil {
		h.mu.Unlock()
		return errors.New("the next process is being started already")
	}
	h.waiter = told
	h.mu.Unlock()
	p := h.n.cfg.Program
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Dir, os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), leash.HandoverVariable+"=1")
	if err := cmd.Start(); err != nil {
		h.tell(nil)
		return fmt.Errorf("start the next process: %w", err)
	}
	h.n.log.Info("the next process is started", "pid", cmd.Process.Pid, "program", p.Path, "args", strings.Join(p.Args, " "))
	go func() { // ends with the next process, or with this one
		err := cmd.Wait()
		time.Sleep(endPatience)
		h.mu.Lock()
		waited := h.waiter == told // nobody was told, and it is no later one that is waited for
		if waited {
			h.waiter = nil
		}
		h.mu.Unlock()
		if waited {
			told <- fmt.Errorf("the next process ended before it was ready: %v", err)
		}
	}()
	return <-told
}

// looksAround is how long an edge that takes a place may be without the news of
// some region before it opens its doors.
const looksAround = 2 * time.Second

// lookAround is a part that an edge which takes a place has before its doors: it
// gets ready once every region is found healthy, or could have been.
func (n *node) lookAround(ctx context.Context, ready func()) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(looksAround)
	for looking := true; looking && slices.ContainsFunc(n.atlas.Now().Regions, func(r topology.Region) bool { return !r.Healthy }); {
		select {
		case <-ctx.Done():
			return nil
		case <-late:
			looking = false
		case <-tick.C:
		}
	}
	ready()
	<-ctx.Done()
	return nil
}

// endPatience is how long a process that ended may take to be heard otherwise: it
// knows better why.
const endPatience = 500 * time.Millisecond

// upgrades has the next process take this one's place whenever somebody asks for
// it, from the time at which this one waits for its next.
func (n *node) upgrades() (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() { // stop waits
		defer close(over)
		select {
		case <-n.handing.offered:
		case <-done:
			return
		}
		for {
			select {
			case <-n.cfg.Asked.Restart:
				n.upgrade()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-over }
}

func (n *node) upgrade() {
	if pid := Holder(n.cfg.State); n.handing.handedOver() && pid != 0 {
		syscall.Kill(pid, syscall.SIGUSR2) // it is that one's turn
		return
	}
	if err := n.handing.startNext(); err != nil {
		n.log.Error("not restarted", "why", err.Error())
	}
}
