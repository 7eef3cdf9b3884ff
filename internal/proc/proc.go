// Package proc starts child processes that cannot outlive this one, unless they
// are to.
//
// A child leads a process group of its own. When the child ends, for whatever
// reason, what it left in its group is killed; when this process ends, however
// abruptly, the kernel kills the child (on Linux; elsewhere a child of a killed
// parent lives on).
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// outputGrace is how long output is still read after the child ended, for the
// case that something outside its group holds the pipe.
const outputGrace = 500 * time.Millisecond

// A Cmd says what to start.
type Cmd struct {
	Path string   // the program; not searched in PATH
	Args []string // after the program's name
	Env  []string // the whole environment; nil passes this process's own
	Dir  string   // "" is this process's own

	UID, GID int // <= 0: this process's own. Others need root

	Stdin          io.Reader // nil reads nothing
	Stdout, Stderr io.Writer // nil discards; a *os.File is handed over as it is
	ExtraFiles     []*os.File

	// Outlive lets the child go on when this process ends. It leads a session of
	// its own, so that no terminal's signal reaches it. Its output must be files:
	// whoever copied it is gone then.
	Outlive bool
}

// A Process is a started child. Its methods may be called by many goroutines.
type Process struct {
	cmd  *exec.Cmd // nil of one that was adopted
	pid  int
	send func(syscall.Signal) error // nil: to the pid
	done chan struct{}
	err  error // set before done is closed

	mu     sync.Mutex // guards what follows
	reaped bool       // the pid may belong to somebody else now
}

// Start starts c and returns once the program runs, or could not be executed.
func Start(c Cmd) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.ExtraFiles = c.ExtraFiles
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !c.Outlive, Setsid: c.Outlive}
	if c.UID > 0 || c.GID > 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{
			Uid: uint32(orOwn(c.UID, os.Getuid())),
			Gid: uint32(orOwn(c.GID, os.Getgid())),
		}
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started, c.Outlive) // ends with the child; done says so
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return p, nil
}

func orOwn(id, own int) int {
	if id > 0 {
		return id
	}
	return own
}

// run starts the child and stays until it has ended. See hold.
func (p *Process) run(started chan<- error, outlive bool) {
	if !outlive {
		defer hold(p.cmd.SysProcAttr)()
	}
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = p.cmd.Process.Pid
	started <- nil

	p.err = reap(p.cmd, p.sweep)
	close(p.done)
}

// sweep kills what is left of the group, for the last time.
func (p *Process) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	syscall.Kill(-p.pid, syscall.SIGKILL)
	p.reaped = true
}

// PID returns the child's process id, which is also that of its group.
func (p *Process) PID() int { return p.pid }

// Done is closed when the child has ended and been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits for the end and returns nil if the exit status was 0, otherwise an
// *exec.ExitError as a rule.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends sig to the child alone. It returns os.ErrProcessDone once the
// child has ended.
func (p *Process) Signal(sig os.Signal) error {
	s, ok := sig.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %v is not one of this system", sig)
	}
	return p.signal(p.pid, s)
}

// Kill kills the child's whole group.
func (p *Process) Kill() error { return p.signal(-p.pid, syscall.SIGKILL) }

func (p *Process) signal(to int, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.reaped:
		return os.ErrProcessDone
	case p.send != nil:
		return p.send(sig)
	}
	return syscall.Kill(to, sig)
}

// Stop sends sig to the child and waits for its end. When ctx ends first, it
// kills the group, waits, and returns ctx's cause. How the child exited is for
// Err to say.
func (p *Process) Stop(ctx context.Context, sig os.Signal) error {
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.Kill()
	<-p.done
	return fmt.Errorf("process %d did not end on %v and was killed: %w", p.pid, sig, context.Cause(ctx))
}
