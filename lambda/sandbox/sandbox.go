package sandbox

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/internal/proc"
)

// A Spec says what to run.
type Spec struct {
	Name      string   // of the environment; part of a path
	Program   string   // a file to execute
	Dir       string   // where it starts
	Env       []string // all of its environment
	UID, GID  int      // 0: this process's own
	MemoryMiB int      // 0: no limit

	// Line gets each line that the process writes, without its end. stream is
	// "stdout" or "stderr". Both streams call it, each from a goroutine of its own.
	Line func(stream, line string)
}

// A Sandbox is a started process.
type Sandbox struct {
	proc  *proc.Process
	err   *lines
	guard guard
	oom   atomic.Bool
	done  chan struct{} // closed once nothing of it remains
}

// An Exit says how a process ended.
type Exit struct {
	Err         error  // nil for exit status 0
	OutOfMemory bool   // it went over its limit
	Stderr      string // the end of what it wrote there
}

// String says it as Lambda does.
func (e Exit) String() string {
	if e.Err == nil {
		return "exit status 0"
	}
	return e.Err.Error()
}

// Start starts a process under a memory limit of m's kind.
func (m *Memory) Start(s Spec) (*Sandbox, error) {
	stdout := &lines{emit: func(line string) { s.Line("stdout", line) }}
	stderr := &lines{emit: func(line string) { s.Line("stderr", line) }}
	p, err := proc.Start(proc.Cmd{
		Path: s.Program, Dir: s.Dir, Env: s.Env, UID: s.UID, GID: s.GID,
		Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return nil, err
	}
	b := &Sandbox{proc: p, err: stderr, done: make(chan struct{})}
	b.guard = m.limit(s.Name, p.PID(), s.MemoryMiB)
	go func() { // ends with the process
		defer close(b.done)
		b.guard.watch(p.Done(), func() {
			b.oom.Store(true)
			p.Kill()
		})
		<-p.Done()
		b.oom.CompareAndSwap(false, b.guard.exceeded())
		b.guard.close()
		stdout.flush()
		stderr.flush()
	}()
	return b, nil
}

// PID returns the process's id.
func (b *Sandbox) PID() int { return b.proc.PID() }

// Done is closed when the process has ended and all its output was handed on.
func (b *Sandbox) Done() <-chan struct{} { return b.done }

// Exit waits for the end and says how it came.
func (b *Sandbox) Exit() Exit {
	<-b.done
	return Exit{Err: b.proc.Err(), OutOfMemory: b.oom.Load(), Stderr: b.err.last()}
}

// Kill ends the process and all that it started, at once.
func (b *Sandbox) Kill() { b.proc.Kill() }

// Terminate asks the process to end, and kills it after grace. It returns once
// nothing of it remains.
func (b *Sandbox) Terminate(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	b.proc.Stop(ctx, syscall.SIGTERM) // Exit says how it ended
	<-b.done
}
