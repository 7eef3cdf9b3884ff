package function

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/dop251/goja"
)

// regexTime bounds a match of a regular expression that must be tried step by
// step, which nothing can interrupt. A match that was given up says that there is
// none: so a run that took as long counts as failed, whatever it says.
const regexTime = 100 * time.Millisecond

// boundRegexps sets what goja has no option for.
var boundRegexps = sync.OnceFunc(func() {
	regexp2.DefaultMatchTimeout = regexTime
	regexp2.SetTimeoutCheckPeriod(regexTime / 10)
})

// A run waits as long for a slot, and may hardly get any processor as long.
const defaultPatience = time.Second

var (
	errTime  = errors.New("it took more time than a run may")
	errStuck = errors.New("earlier runs of it do not end")
	errBusy  = errors.New("as many runs as may be were under way")
)

// The states of a running.
const (
	going int32 = iota
	ended
	left  // nobody waits for it
	freed // nor has it a slot
)

// A running is a run on its own goroutine, which nothing but itself can end
// while it is inside of one of the engine's own loops.
type running struct {
	state atomic.Int32
	clock atomic.Int32 // of its thread; 0 until it has begun
	began time.Duration
	used  time.Duration
	err   error
	done  chan struct{}
}

// run does work in a runtime of its own, and waits until it is done, exceeds its
// time, or does not even end then. It returns the processor time that it took.
func (e *engine) run(ctx context.Context, f *fn, work func(*vm) error) (time.Duration, error) {
	if e.throttles(f) {
		return 0, errStuck
	}
	if err := e.enter(ctx); err != nil {
		return 0, err
	}
	if e.throttles(f) { // since it waits
		<-e.slots
		return 0, errStuck
	}
	v := e.newVM(f)
	r := &running{done: make(chan struct{})}
	start := time.Now()
	e.work.Go(func() { e.execute(r, f, func() error { return work(v) }) })
	used, err := e.await(r, v, start)
	if err == nil && f.program.Backtrack && time.Since(start) >= regexTime {
		err = errTime
	}
	return used, err
}

// throttles reports whether a function is not run for now.
func (e *engine) throttles(f *fn) bool { return f.stuck.Load() > 0 && e.stuck.Load() >= e.burn }

// enter waits for a slot. The run that gets it gives it back when it ends.
func (e *engine) enter(ctx context.Context) error {
	select {
	case e.slots <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(e.patience)
	defer t.Stop()
	select {
	case e.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return errBusy
	}
}

// execute runs work on a thread whose time can be told.
func (e *engine) execute(r *running, f *fn, work func() error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := threadClock()
	r.began, _ = c.now()
	r.clock.Store(int32(c))
	r.err = guarded(work)
	now, _ := c.now()
	r.used = now - r.began
	if !r.state.CompareAndSwap(going, ended) {
		f.stuck.Add(-1)
		e.stuck.Add(-1)
	}
	if r.state.Load() != freed {
		<-e.slots
	}
	close(r.done)
}

// guarded turns a panic, which would be a bug of the engine's, into an error.
func guarded(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the JavaScript engine failed: %v", p)
		}
	}()
	return work()
}

// await waits for a run, and returns its processor time. It interrupts one that
// exceeds its time, and leaves one that does not heed that.
func (e *engine) await(r *running, v *vm, start time.Time) (used time.Duration, err error) {
	t := time.NewTimer(e.limits.Time)
	defer t.Stop()
	interrupted := false
	for {
		select {
		case <-r.done:
			if interrupted {
				return r.used, errTime
			}
			return r.used, r.err
		case <-t.C:
		}
		spent := r.spent(start, e.patience)
		switch over := spent - e.limits.Time; {
		case over < 0 && !interrupted:
			t.Reset(max(-over, 100*time.Microsecond))
		case !interrupted:
			interrupted = true
			v.over.Store(true)
			v.rt.Interrupt(errTime)
			t.Reset(grace)
		case over < grace:
			t.Reset(grace)
		case e.leave(r, v.fn):
			return spent, errTime
		}
	}
}

// grace is how long a run may take to notice that it was interrupted.
const grace = 800 * time.Microsecond

// leave stops waiting for a run, unless it just ended. Its slot goes to another
// run while few are stuck; beyond that a function with stuck runs is not run. So
// no more threads are lost than may run at once, and half as many again.
func (e *engine) leave(r *running, f *fn) bool {
	f.stuck.Add(1)
	now := left
	if e.stuck.Add(1) <= e.burn {
		now = freed
	}
	if r.state.CompareAndSwap(going, now) {
		if now == freed {
			<-e.slots
		}
		e.deps.Log.Error("a run of an edge function does not end", "function", f.Name)
		return true
	}
	f.stuck.Add(-1)
	e.stuck.Add(-1)
	return false
}

// spent returns the processor time of a run, or where the system does not tell
// it, and where the run hardly gets any for as long as patience, the time that has
// passed.
func (r *running) spent(start time.Time, patience time.Duration) time.Duration {
	passed := time.Since(start)
	c := clock(r.clock.Load())
	if c == 0 {
		return 0
	}
	if now, ok := c.now(); ok && passed < patience {
		return now - r.began
	}
	return passed
}

// told makes of what was thrown an error that says it, with the place in the
// source. It belongs to the run: an object that is thrown may say its text by code
// of its own, which is as long as it likes.
func told(err error) error {
	var thrown *goja.Exception
	if errors.As(err, &thrown) {
		return errors.New(oneLine(thrown.Value().String() + placeOf(thrown)))
	}
	return err
}

// explain says an error of a run in this package's own words.
func explain(err error) error {
	var interrupted *goja.InterruptedError
	var deep *goja.StackOverflowError
	switch {
	case errors.As(err, &interrupted):
		if cause, ok := interrupted.Value().(error); ok {
			return cause
		}
		return errTime
	case errors.As(err, &deep):
		return errors.New("calls are nested too deep")
	}
	return err
}

// placeOf returns the innermost place in a source that an exception passed.
func placeOf(thrown *goja.Exception) string {
	for _, frame := range thrown.Stack() {
		if at := frame.Position(); at.Filename != "" && at.Line > 0 {
			return fmt.Sprintf(" at %s (%s)", frame.FuncName(), at)
		}
	}
	return ""
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 500 {
		s = s[:500] + "..."
	}
	return s
}
