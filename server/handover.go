package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"meridian/config"
	"meridian/edge"
	"meridian/internal/handover"
	"meridian/internal/lifecycle"
	"meridian/internal/sockdir"
)

// HandoverVariable is set, to 1, in the environment of a process that takes the
// place of the one that runs its node.
const HandoverVariable = "MERIDIAN_HANDOVER"

// A Program is how this process was started, for the next one.
type Program struct {
	Path string // of the file that is to be executed, which may be another by then
	Args []string
	Dir  string // working folder
}

// ThisProgram returns how this process was started. Call it before the working
// folder changes.
func ThisProgram() (p Program, err error) {
	if p.Dir, err = os.Getwd(); err != nil {
		return p, err
	}
	p.Args = os.Args[1:]
	if p.Path, err = exec.LookPath(os.Args[0]); err == nil { // not os.Executable: a link may lead to the next version by then
		p.Path, err = filepath.Abs(p.Path)
	}
	return p, err
}

// handoverAt returns where the process that runs a node waits for the next one.
func handoverAt(state string) (string, error) {
	dir, err := sockdir.For(state)
	return filepath.Join(dir, "handover", "sock"), err
}

// TakePlace returns the next process's end of a hand-over of the node whose
// state is in that folder: this process, which was started for it.
func TakePlace(ctx context.Context, state string, s *handover.Sockets) (*handover.Next, error) {
	path, err := handoverAt(state)
	if err != nil {
		return nil, err
	}
	return handover.Join(ctx, path, s)
}

// A handing is a node's part in handing itself over to its next process.
type handing struct {
	n       *node
	sockets *handover.Sockets
	next    *handover.Next // not nil: this process takes another's place
	door    *edge.Edge     // nil without an edge

	mu     sync.Mutex // guards what follows
	gone   bool       // the next process has this one's place
	waiter chan error // of who asked for the next process, or nil
}

// overlaps reports whether two processes of the node may run at once: nothing
// that it does is one process's alone.
func overlaps(self config.Node, f *config.File) (bool, string) {
	switch {
	case self.Has(config.RoleRegion):
		return false, "a region's PostgreSQL, its functions and its vote on the store are one process's"
	case self.Has(config.RoleStandby):
		return false, "its PostgreSQL is one process's"
	case self.Has(config.RoleWitness):
		return false, "its vote on the store is one process's"
	case self.Has(config.RoleEdge) && f.Limits.CacheDisk > 0:
		return false, "its cache on disk is one process's"
	}
	return true, ""
}

// handedOver reports whether the next process has this one's place.
func (h *handing) handedOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

// Release implements handover.Holder. Nothing is one process's alone.
func (h *handing) Release(context.Context) error { return nil }

// Resume implements handover.Holder.
func (h *handing) Resume(why error, _ bool) {
	h.n.log.Error("the next process did not take this one's place, which goes on", "why", why.Error())
	h.tell(why)
}

// Yield implements handover.Holder.
func (h *handing) Yield(pid int) {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.n.log.Info("the next process has taken this one's place", "pid", pid, "drain", handoverDrain)
	if h.door != nil {
		h.door.HandOver(handoverDrain)
	}
	h.n.end(nil)
	h.tell(nil)
}

// handoverDrain bounds how long what was begun goes on in a process whose place
// is taken.
const handoverDrain = 30 * time.Second

// hurry ends what goes on after the next process took this one's place: somebody
// asked for this one's end.
func (h *handing) hurry() {
	if h.handedOver() && h.door != nil {
		h.door.Hurry()
	}
}

// grace returns how long each part may take to stop.
func (h *handing) grace() time.Duration {
	const usual = 9 * time.Second
	if h.handedOver() {
		return usual + handoverDrain
	}
	return usual
}

// tell answers who asked for the next process.
func (h *handing) tell(err error) {
	h.mu.Lock()
	w := h.waiter
	h.waiter = nil
	h.mu.Unlock()
	if w != nil {
		w <- err
	}
}

// add adds the part that waits for the next process.
func (h *handing) add(g *lifecycle.Group) {
	g.Add("hand-over", func(ctx context.Context, ready func()) error {
		if err := h.next.Ready(ctx); err != nil {
			return err
		}
		for _, left := range h.sockets.Settle() {
			h.n.log.Info("a socket that was handed over is not used any more", "network", left.Network, "address", left.Address)
		}
		path, err := handoverAt(h.n.cfg.State)
		if err != nil {
			return err
		}
		o, err := handover.NewOffer(path, h.sockets, h)
		if err != nil {
			return err
		}
		ready()
		err = o.Run(ctx)
		<-ctx.Done() // Yield ends the node
		return err
	})
}

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
	cmd.Env = append(os.Environ(), HandoverVariable+"=1")
	if err := cmd.Start(); err != nil {
		h.tell(nil)
		return fmt.Errorf("start the next process: %w", err)
	}
	h.n.log.Info("the next process is started", "pid", cmd.Process.Pid, "program", p.Path, "args", strings.Join(p.Args, " "))
	go func() { // ends with the next process, or with this one
		err := cmd.Wait()
		time.Sleep(endPatience)
		h.tell(fmt.Errorf("the next process ended before it was ready: %v", err))
	}()
	return <-told
}

// endPatience is how long a process that ended may take to be heard otherwise: it
// knows better why.
const endPatience = 500 * time.Millisecond

// upgrades makes SIGUSR2 have the next process take this one's place. Where two
// cannot run at once this one ends, and leaves PostgreSQL running, for the next
// version of the node to adopt.
func (n *node) upgrades(end context.CancelCauseFunc) (stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() { // stop waits
		defer close(done)
		for range asked {
			ok, why := overlaps(n.self, n.file)
			if ok {
				if err := n.handing.startNext(); err != nil {
					n.log.Error("not restarted", "why", err.Error())
				}
				continue
			}
			n.log.Info("node ends for its next version; postgres goes on", "why", why)
			if n.leavePG != nil {
				n.leavePG()
			}
			end(nil)
		}
	}()
	return func() { signal.Stop(asked); close(asked); <-done }
}
