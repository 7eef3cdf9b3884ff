package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"meridian/config"
	"meridian/edge"
	"meridian/internal/handover"
	"meridian/internal/leash"
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
	return &handing{n: n, sockets: cmp.Or(n.cfg.Sockets, new(handover.Sockets)), next: n.cfg.Next, released: make(chan error, 1), outcome: make(chan error, 1)}
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

// announced is how long others have to hear that this node stops, and send their
// requests elsewhere.
const announced = time.Second

// Release implements handover.Holder. A node that is one process's alone stops all
// its parts, but for PostgreSQL; its sockets stay open, and who connects waits.
func (h *handing) Release(ctx context.Context) (err error) {
	if h.overlaps() {
		return nil
	}
	h.mu.Lock()
	h.restore, h.drop, err = h.sockets.Keep()
	h.releasing = err == nil
	h.mu.Unlock()
	if err != nil {
		return err
	}
	_, why := overlaps(h.n.self, h.n.file)
	h.n.log.Info("this process stops for the next one; postgres goes on, and who connects waits", "why", why)
	h.n.fact(factReady, "")
	if h.door != nil {
		h.door.Announce()
	}
	select {
	case <-time.After(announced):
	case <-ctx.Done():
	}
	if h.n.leavePG != nil {
		h.n.leavePG()
	}
	h.n.end(nil)
	return <-h.released
}

// Resume implements handover.Holder.
func (h *handing) Resume(why error, released bool) {
	h.n.log.Error("the next process did not take this one's place, which goes on", "why", why.Error())
	h.mu.Lock()
	stopped := h.releasing
	h.mu.Unlock()
	if released && stopped {
		h.outcome <- why
	}
	h.tell(why)
}

// Yield implements handover.Holder.
func (h *handing) Yield(pid int) {
	h.mu.Lock()
	h.gone = true
	stopped := h.releasing
	h.mu.Unlock()
	h.n.log.Info("the next process has taken this one's place", "pid", pid)
	if err := writeHolder(h.n.cfg.State, pid); err != nil { // before this one ends, or says that it is done
		h.n.log.Error("which process has the node's place was not written down", "why", err.Error())
	}
	daemon.SdNotify(false, fmt.Sprintf("MAINPID=%d", pid)) // nobody may be there to hear
	if h.n.cfg.Yielded != nil {
		h.n.cfg.Yielded(pid)
	}
	defer h.tell(nil)
	if stopped {
		h.outcome <- nil
		return
	}
	h.n.backbone.Yield() // a purge is for the cache of the next one
	if h.door != nil {
		h.door.HandOver(handoverDrain)
	}
	h.n.end(nil)
}

// withdraw tells the others that this node stops, if nobody takes its place, and
// goes on for as long as clients may still be sent here.
func (h *handing) withdraw() {
	h.mu.Lock()
	taken := h.gone || h.releasing
	h.mu.Unlock()
	if taken {
		return
	}
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	h.n.fact(factReady, "")
	others := 0
	for _, e := range h.n.atlas.Now().Edges {
		if e.Healthy && e.Node != h.n.self.Name {
			others++
		}
	}
	if h.door == nil || h.n.leash != nil { // an up world ends as a whole
		return
	}
	d, why := farewell(h.n.file.DNS.TTL, others)
	h.n.log.Info("the edge stops", "after", d, "why", why)
	h.door.Announce()
	time.Sleep(d)
}

// longestFarewell bounds how long an edge that stops goes on.
const longestFarewell = 6 * time.Second

// farewell says how long an edge that stops goes on: until the name servers have
// heard it, and what they said before is forgotten.
func farewell(ttl time.Duration, others int) (time.Duration, string) {
	if others == 0 {
		return 0, "there is no other edge to go to"
	}
	return min(ttl+announced, longestFarewell), fmt.Sprintf("clients go to %d others once the name servers' last answers are forgotten", others)
}

// errResumed says that the next process did not take this one's place after all
// parts had stopped: they are to be started again.
var errResumed = errors.New("the node goes on in the process that it had")

// stopped is told what came of all parts, and returns what the process ends with.
func (h *handing) stopped(ctx context.Context, stop context.CancelFunc, err error) error {
	h.mu.Lock()
	releasing := h.releasing
	h.mu.Unlock()
	defer h.offer.Wait()
	defer stop()
	if !releasing {
		return err
	}
	h.released <- err
	select {
	case why := <-h.outcome:
		if why != nil {
			h.restore()
			return errResumed
		}
		h.drop()
	case <-ctx.Done():
		h.drop()
	}
	return err
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
		ready()
		<-ctx.Done()
		return nil
	})
}

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

// endPatience is how long a process that ended may take to be heard otherwise: it
// knows better why.
const endPatience = 500 * time.Millisecond

// upgrades makes SIGUSR2 have the next process take this one's place.
func (n *node) upgrades() (stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() { // stop waits
		defer close(done)
		for range asked {
			if pid := Holder(n.cfg.State); n.handing.handedOver() && pid != 0 {
				syscall.Kill(pid, syscall.SIGUSR2) // it is that one's turn
				continue
			}
			if err := n.handing.startNext(); err != nil {
				n.log.Error("not restarted", "why", err.Error())
			}
		}
	}()
	return func() { signal.Stop(asked); close(asked); <-done }
}
