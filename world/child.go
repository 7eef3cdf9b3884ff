package world

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"meridian/internal/leash"
	"meridian/internal/proc"
)

// A state of a child, as `meridian status` and faults show it.
type state string

const (
	starting state = "starting"
	running  state = "running"
	down     state = "down"   // killed by a fault, stays down
	paused   state = "paused" // stopped by a fault
	failed   state = "failed" // died by itself, will be started again
	gone     state = "gone"   // left the world with its region, stays away
)

// A child is one node's process.
type child struct {
	node   string
	launch func(files []*os.File) (*proc.Process, error)

	mu     sync.Mutex // guards what follows
	state  state
	proc   *proc.Process
	leash  *leash.Parent
	reason string // why it failed last
	life   int    // counts starts
	before *child // whose place this one took, while that may still drain
}

// each does something to the child, and to those before it.
func (c *child) each(do func(*child)) {
	for ; c != nil; c = c.predecessor() {
		do(c)
	}
}

func (c *child) predecessor() *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil && c.before.alive() == nil {
		c.before = nil
	}
	return c.before
}

// start launches the child and returns a channel that closes when it is ready,
// one that closes when it has ended, and which of the child's lives this is.
func (c *child) start(order leash.Order, report func(string, leash.Report)) (ready, ended <-chan struct{}, life int, err error) {
	l, err := leash.New()
	if err != nil {
		return nil, nil, 0, err
	}
	p, err := c.launch(l.Files())
	l.Started()
	if err != nil {
		return nil, nil, 0, fmt.Errorf("start %s: %w", c.node, err)
	}
	isReady := make(chan struct{})
	c.mu.Lock()
	c.proc, c.leash, c.state, c.reason = p, l, starting, ""
	c.life++
	life = c.life
	c.mu.Unlock()
	l.Order(order)
	done := make(chan struct{})
	go func() { // ends with the child, which done tells
		defer close(done)
		var once sync.Once
		l.Reports(func(r leash.Report) {
			if r.Ready {
				c.isReady(life)
				once.Do(func() { close(isReady) })
			}
			if r.Gone {
				c.set(gone)
			}
			if r.Error != "" {
				c.mu.Lock()
				c.reason = r.Error
				c.mu.Unlock()
			}
			report(c.node, r)
		})
		<-p.Done()
	}()
	return isReady, done, life, nil
}

// isReady marks the child as running, unless a fault came first.
func (c *child) isReady(life int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == life && c.state == starting {
		c.state = running
	}
}

// status returns what the child is doing.
func (c *child) status() (s state, pid int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil {
		pid = c.proc.PID()
	}
	return c.state, pid, c.reason
}

// died marks the child as failed, if this life of it was meant to go on.
func (c *child) died(life int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life != life || c.state == down || c.state == gone {
		return false
	}
	c.state = failed
	return true
}

func (c *child) set(s state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

func (c *child) order(o leash.Order) {
	c.mu.Lock()
	l := c.leash
	c.mu.Unlock()
	if l != nil {
		l.Order(o) // a child that is gone or stopped is told again when it comes back
	}
}

// alive returns the child's process, or nil once that has been reaped: its pid
// may be a stranger's then.
func (c *child) alive() *proc.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil {
		return nil
	}
	select {
	case <-c.proc.Done():
		return nil
	default:
		return c.proc
	}
}

// kill ends the child and all below it, as a loss of power would, and returns
// once they are gone.
func (c *child) kill() {
	c.each(func(c *child) {
		if p := c.alive(); p != nil {
			killFamily(p.PID())
			<-p.Done()
		}
	})
}

// pause stops the child and all below it, where they stand.
func (c *child) pause() {
	c.each(func(c *child) {
		if p := c.alive(); p != nil {
			signalFamily(p.PID(), syscall.SIGSTOP)
		}
	})
}

// resume lets them go on.
func (c *child) resume() {
	c.each(func(c *child) {
		if p := c.alive(); p != nil {
			signalFamily(p.PID(), syscall.SIGCONT)
		}
	})
}

// stop asks the child to end, and kills what is left after grace.
func (c *child) stop(grace time.Duration) {
	c.resume()
	var all sync.WaitGroup
	c.each(func(c *child) { all.Go(func() { c.end(grace) }) })
	all.Wait()
}

func (c *child) end(grace time.Duration) {
	p := c.alive()
	if p == nil {
		return
	}
	listed := relatives(p.PID())
	p.Signal(syscall.SIGTERM)
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-p.Done():
		sweep(listed)
	case <-late.C:
		killFamily(p.PID())
		<-p.Done()
	}
}

// logFile opens the log of a node for appending.
func logFile(stateDir, node string) (*os.File, error) {
	dir := filepath.Join(stateDir, "log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, FolderOf(node)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
