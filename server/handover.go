package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"meridian/config"
	"meridian/edge"
	"meridian/internal/handover"
	"meridian/internal/lifecycle"
	"meridian/internal/sockdir"
)

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

// Restart has the process that runs the node whose state is in that folder start
// its next one, and returns once that has its place. found is false where no
// process waits for that.
func Restart(ctx context.Context, state string) (found bool, err error) {
	path, err := handoverAt(state)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(path); err != nil {
		return false, nil
	}
	err = handover.Restart(ctx, path)
	return !errors.Is(err, syscall.ECONNREFUSED), err
}

// Holder returns the process that runs the node whose state is in that folder, as
// it said itself; 0 if none did.
func Holder(state string) (pid int) {
	path, err := handoverAt(state)
	if err != nil {
		return 0
	}
	b, err := os.ReadFile(path + ".pid")
	if err != nil {
		return 0
	}
	pid, _ = strconv.Atoi(string(b))
	return pid
}

func writeHolder(state string, pid int) error {
	path, err := handoverAt(state)
	if err != nil {
		return err
	}
	err = os.WriteFile(path+".pid.new", fmt.Append(nil, pid), 0o600)
	if err == nil {
		err = os.Rename(path+".pid.new", path+".pid")
	}
	return err
}

// A handing is a node's part in handing itself over to its next process.
type handing struct {
	n       *node
	sockets *handover.Sockets
	next    *handover.Next // not nil: this process takes another's place
	door    *edge.Edge     // nil without an edge
	offer   sync.WaitGroup // waits for the next process
	offered chan struct{}  // closed once it does

	released chan error // of the parts, once all have stopped
	outcome  chan error // of a hand-over in turn: nil once the next process is ready

	mu        sync.Mutex // guards what follows
	gone      bool       // the next process has this one's place
	releasing bool       // all parts stop, for the next process to start
	restore   func()     // what was kept for the case that it does not
	drop      func()
	waiter    chan error // of who asked for the next process, or nil
}

func newHanding(n *node) *handing {
	return &handing{n: n, sockets: cmp.Or(n.cfg.Sockets, new(handover.Sockets)), next: n.cfg.Next,
		offered: make(chan struct{}), released: make(chan error, 1), outcome: make(chan error, 1)}
}

// overlaps reports whether two processes of the node may run at once: nothing
// that it does is one process's alone. Else they do in turn.
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

func (h *handing) overlaps() bool {
	ok, _ := overlaps(h.n.self, h.n.file)
	return ok
}

// prepared waits until this process may go on: before its parts are made, or after
// that where two processes may have them.
func (h *handing) prepared(ctx context.Context, made bool) error {
	if h.overlaps() != made {
		return nil
	}
	return h.next.Prepared(ctx)
}

// handedOver reports whether the next process has this one's place.
func (h *handing) handedOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
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

// add adds the part that takes the place of the process before, and begins to
// wait for the next one, until offering is over.
func (h *handing) add(g *lifecycle.Group, offering context.Context) {
	g.Add("hand-over", func(ctx context.Context, ready func()) error {
		path, err := handoverAt(h.n.cfg.State)
		if err != nil {
			return err
		}
		if err := h.next.Ready(ctx); err != nil {
			return err
		}
		for _, left := range h.sockets.Settle() {
			h.n.log.Info("what was handed over is not used any more", "network", left.Network, "address", left.Address)
		}
		o, err := handover.NewOffer(path, h.sockets, h)
		if err != nil {
			return err
		}
		if err := writeHolder(h.n.cfg.State, os.Getpid()); err != nil {
			return err
		}
		daemon.SdNotify(false, daemon.SdNotifyReady)
		h.offer.Go(func() {
			if err := o.Run(offering); err != nil {
				h.n.log.Error("this process cannot be restarted any more without a pause", "why", err.Error())
			}
		})
		close(h.offered)
		ready()
		<-ctx.Done()
		return nil
	})
}
