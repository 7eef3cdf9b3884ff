package lambda

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"meridian/lambda/pool"
	"meridian/lambda/sandbox"
)

// A fleet is one function: what waits for it and what runs it.
type fleet struct {
	*Lambda
	fn   Function
	log  *slog.Logger
	m    functionMetrics
	wake chan struct{} // holds one signal: there may be something to do
	up   chan struct{} // closed once Min environments have started, or failed to
	arn  string

	placing sync.Mutex // guards what follows
	task    string     // the folder with the bundle that processes start in, once it is there

	mu       sync.Mutex // guards what follows
	queue    []*call    // oldest first
	envs     []*environment
	serial   int // of the environments made
	tried    int // how many of them have started, or failed to
	failures int // failed starts in a row
	retryAt  time.Time
	failure  error // of the last failed start
	draining bool
	idle     chan struct{} // if not nil, closed once no invocation is under way
}

func newFleet(l *Lambda, fn Function) *fleet {
	f := &fleet{
		Lambda: l, fn: fn, log: l.log.With("function", fn.Name), m: l.metrics.of(fn.Name),
		wake: make(chan struct{}, 1), up: make(chan struct{}),
		arn: fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", l.cfg.Region, l.cfg.AccountID, fn.Name),
	}
	if fn.Min == 0 {
		close(f.up)
	}
	return f
}

// kick lets run look again.
func (f *fleet) kick() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run starts and retires environments until ctx ends, then ends them all.
func (f *fleet) run(ctx context.Context) {
	var envs sync.WaitGroup
	defer f.flush()
	defer envs.Wait()
	for {
		f.mu.Lock()
		f.dispatch()
		d := pool.Scale(f.view(time.Now()))
		switch d.Do {
		case pool.Start:
			e := f.newEnvironment(d.Why)
			envs.Go(func() { e.run(ctx) })
		case pool.Retire:
			f.find(d.Env).retire(d.Why)
		}
		f.mu.Unlock()
		if d.Do == pool.Wait && !f.sleep(ctx, d.Again) {
			return
		}
	}
}

// dispatch hands what waits to requests that wait. As a rule there is nothing
// to hand: each side looks for the other when it comes. f.mu is held.
func (f *fleet) dispatch() {
	for len(f.queue) > 0 {
		v := f.view(time.Now())
		v.Queued, v.Draining = 0, false
		d := pool.Place(v)
		if d.Do != pool.Reuse {
			return
		}
		f.find(d.Env).hand(f.pop())
	}
}

// sleep waits for a kick, or until again has passed. It reports false once ctx
// has ended.
func (f *fleet) sleep(ctx context.Context, again time.Duration) bool {
	var alarm <-chan time.Time
	if again > 0 {
		t := time.NewTimer(again)
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-f.wake:
	case <-alarm:
	case <-ctx.Done():
		return false
	}
	return true
}

// view is what package pool decides on. f.mu is held.
func (f *fleet) view(now time.Time) pool.View {
	v := pool.View{
		Min: f.fn.Min, Max: f.fn.Max, Slots: f.fn.Concurrency, Idle: f.fn.Idle, MaxQueue: f.fn.MaxQueue,
		Queued: len(f.queue), Draining: f.draining, Envs: make([]pool.Env, len(f.envs)),
	}
	if left := f.retryAt.Sub(now); left > 0 {
		v.Backoff = left
	}
	for i, e := range f.envs {
		v.Envs[i] = e.view(now)
	}
	return v
}

func (f *fleet) find(name string) *environment {
	for _, e := range f.envs {
		if e.name == name {
			return e
		}
	}
	return nil
}

// submit hands c to an environment or lets it wait. It returns an error if
// there is no room.
func (f *fleet) submit(c *call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := pool.Place(f.view(c.arrived))
	c.why = d.Why
	switch d.Do {
	case pool.Reuse:
		f.find(d.Env).hand(c)
	case pool.Queue:
		f.queue = append(f.queue, c)
		f.m.queue.Set(float64(len(f.queue)))
		f.kick()
	case pool.Refuse:
		return f.refusal(d.Why)
	}
	return nil
}

// refusal says why there is no room. f.mu is held.
func (f *fleet) refusal(why string) error {
	switch {
	case f.draining:
		return fail(notRunning, "%s", why)
	case len(f.queue) >= f.fn.MaxQueue:
		return fail(queueFull, "%s", why)
	}
	return f.failure
}

// pop takes the call that has waited longest, or nil. f.mu is held.
func (f *fleet) pop() *call {
	if len(f.queue) == 0 {
		return nil
	}
	c := f.queue[0]
	f.queue = slices.Delete(f.queue, 0, 1)
	f.m.queue.Set(float64(len(f.queue)))
	return c
}

// abandon lets a caller go. A call that still waits is dropped; it reports
// whether it was.
func (f *fleet) abandon(c *call) (waited bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.queue, c)
	if i < 0 {
		return false
	}
	f.queue = slices.Delete(f.queue, i, i+1)
	f.m.queue.Set(float64(len(f.queue)))
	f.settled()
	return true
}

// attempted notes that an environment got its first request for work, or
// failed to. f.mu is held.
func (f *fleet) attempted(err error) {
	f.tried++
	if f.tried == f.fn.Min {
		close(f.up)
	}
	if err == nil {
		f.failures, f.retryAt, f.failure = 0, time.Time{}, nil
		return
	}
	f.failures++
	f.failure = err
	f.retryAt = time.Now().Add(pool.Backoff(f.failures))
}

// remove takes a dead environment out; failed says why its start failed, if it
// did. f.mu is held.
func (f *fleet) remove(e *environment, failed error) {
	f.envs = slices.DeleteFunc(f.envs, func(o *environment) bool { return o == e })
	f.m.environments.Set(float64(len(f.envs)))
	if failed != nil {
		f.attempted(failed)
	}
	f.settled()
}

// orphans takes the calls that nothing will serve, and says why: they wait, no
// environment lives, and the last start failed or the node stops. f.mu is held.
func (f *fleet) orphans() ([]*call, error) {
	why := f.failure
	if f.draining {
		why = fail(notRunning, "the node is stopping")
	}
	if why == nil || slices.ContainsFunc(f.envs, func(e *environment) bool { return e.state != pool.Leaving }) {
		return nil, nil
	}
	all := f.queue
	f.queue = nil
	f.m.queue.Set(0)
	f.settled()
	return all, why
}

// flush fails what still waits once all environments have ended.
func (f *fleet) flush() {
	f.mu.Lock()
	f.draining = true
	left, why := f.orphans()
	f.mu.Unlock()
	for _, c := range left {
		c.finish(nil, why)
	}
}

// place puts the bundle where processes can start in it, once.
func (f *fleet) place() (task string, err error) {
	f.placing.Lock()
	defer f.placing.Unlock()
	if f.task == "" {
		task, err := sandbox.Place(f.fn.Bundle, filepath.Join(f.dir, f.fn.Name), f.fn.GID)
		if err != nil {
			return "", fmt.Errorf("place bundle: %w", err)
		}
		f.task = task
	}
	return f.task, nil
}

// drain refuses new calls. The channel that it returns is closed once no call
// waits or is worked on.
func (f *fleet) drain() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.draining, f.idle = true, make(chan struct{})
	idle := f.idle
	f.settled()
	return idle
}

// settled looks whether anything is left to do. f.mu is held.
func (f *fleet) settled() {
	if f.idle == nil || len(f.queue) > 0 {
		return
	}
	for _, e := range f.envs {
		if e.busy() > 0 {
			return
		}
	}
	close(f.idle)
	f.idle = nil
}

// newEnvironment makes an environment; its run starts it. f.mu is held.
func (f *fleet) newEnvironment(why string) *environment {
	f.serial++
	now := time.Now()
	e := &environment{
		f: f, name: fmt.Sprintf("%s-%d-%s", f.fn.Name, f.serial, f.session), kept: len(f.envs) < f.fn.Min,
		state: pool.Starting, calls: map[string]*call{}, begun: now, used: now,
		ready: make(chan struct{}), quit: make(chan struct{}),
	}
	e.log = f.log.With("env", e.name)
	e.log.Info("environment starts", "why", why)
	f.envs = append(f.envs, e)
	f.m.environments.Set(float64(len(f.envs)))
	return e
}
