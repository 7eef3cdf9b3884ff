package lambda

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"meridian/lambda/pool"
	"meridian/lambda/runtimeapi"
)

// An environment is one process of a function, as its Runtime API sees it. How
// it starts and ends is in life.go.
type environment struct {
	f        *fleet
	name     string
	kept     bool // one of the function's minimum
	log      *slog.Logger
	attached []attachment
	begun    time.Time
	ready    chan struct{} // closed with the first request for work
	quit     chan struct{} // closed once it has left and holds no call

	// Guarded by f.mu.
	state    pool.State
	waiting  []chan *call     // requests for work that wait, newest last
	calls    map[string]*call // handed out, and not settled by the process
	past     []string         // ids that it settled last
	last     string           // request id of the one that it settled last
	late     bool             // a call passed its deadline
	doubtful bool             // it reported an error, and has not asked for work since
	stopping bool             // quit is closed
	asked    time.Time        // when it last settled a call or withdrew a request
	used     time.Time        // when it last had work
	readyAt  time.Time
	answered int
	initErr  *runtimeapi.Failure
	stopped  bool // it ends because the node does
}

var _ runtimeapi.Host = (*environment)(nil)

// view is how package pool sees it. f.mu is held.
func (e *environment) view(now time.Time) pool.Env {
	v := pool.Env{Name: e.name, State: e.state, Busy: e.busy(), Waiting: len(e.waiting), Late: e.late}
	if now.Sub(e.asked) < pool.Grace {
		v.Soon = max(e.f.fn.Concurrency-len(e.calls)-len(e.waiting), 0)
		if e.doubtful { // it may be about to exit: let it ask anew
			v.Soon, v.Waiting = v.Soon+v.Waiting, 0
		}
	}
	if v.Busy == 0 {
		v.Idle = now.Sub(e.used)
	}
	return v
}

// busy counts the calls that somebody may still want an answer of. f.mu is held.
func (e *environment) busy() (n int) {
	for _, c := range e.calls {
		if !c.late {
			n++
		}
	}
	return n
}

// Next gives the process its next event.
func (e *environment) Next(ctx context.Context) (*runtimeapi.Event, error) {
	c, err := e.take(ctx)
	if err != nil {
		return nil, err
	}
	c.begin(e)
	return &runtimeapi.Event{ID: c.id, Payload: c.inv.Event, Deadline: c.deadline, ARN: e.f.arn, Trace: c.xray}, nil
}

// take waits for a call. A process that gets no new work waits in vain: an
// error would make it complain and exit, before its other calls are done.
func (e *environment) take(ctx context.Context) (*call, error) {
	f := e.f
	f.mu.Lock()
	if e.initErr != nil {
		f.mu.Unlock()
		return nil, fmt.Errorf("next after init/error: %w", runtimeapi.ErrState)
	}
	e.isReady()
	e.doubtful = false
	if e.state == pool.Ready && !e.late {
		if c := f.pop(); c != nil {
			e.assign(c)
			f.mu.Unlock()
			return c, nil
		}
	}
	w := make(chan *call, 1)
	e.waiting = append(e.waiting, w)
	f.mu.Unlock()

	select {
	case c := <-w:
		return c, nil
	case <-ctx.Done():
		e.withdraw(w)
		return nil, context.Cause(ctx)
	}
}

// isReady notes the first request for work. f.mu is held.
func (e *environment) isReady() {
	if !e.readyAt.IsZero() {
		return
	}
	e.readyAt = time.Now()
	e.asked, e.used = e.readyAt, e.readyAt
	if e.state == pool.Starting {
		e.state = pool.Ready
	}
	close(e.ready)
	e.log.Info("environment ready", "after", e.readyAt.Sub(e.begun))
	e.f.attempted(nil)
	e.f.kick()
}

// withdraw takes back a request for work whose connection ended. A call that
// it got in that instant was not sent, and goes back to the head of the queue.
func (e *environment) withdraw(w chan *call) {
	f := e.f
	f.mu.Lock()
	defer f.mu.Unlock()
	e.asked = time.Now()
	if i := slices.Index(e.waiting, w); i >= 0 {
		e.waiting = slices.Delete(e.waiting, i, i+1)
		return
	}
	c := <-w
	if e.calls[c.id] != c || c.late || !c.timer.Stop() {
		return // the process ended, or time was up
	}
	delete(e.calls, c.id)
	f.queue = slices.Insert(f.queue, 0, c)
	f.kick()
}

// hand gives c to the newest waiting request. f.mu is held, and one waits.
func (e *environment) hand(c *call) {
	last := len(e.waiting) - 1
	w := e.waiting[last]
	e.waiting = slices.Delete(e.waiting, last, last+1)
	e.assign(c)
	w <- c // has room: each request gets one call
}

// assign makes c one of e's. Its time runs from here. The function is told the
// sooner of its own time-out and the caller's deadline, after which nobody takes
// its answer; it is stopped by its own alone. f.mu is held.
func (e *environment) assign(c *call) {
	now := time.Now()
	c.env, c.id = e, e.uniqueID(c.inv.ID)
	c.cold = c.arrived.Before(e.readyAt)
	c.deadline = now.Add(e.f.fn.Timeout)
	if d := c.inv.Deadline; !d.IsZero() && d.Before(c.deadline) {
		c.deadline = d
	}
	c.timer = time.AfterFunc(e.f.fn.Timeout, func() { e.overdue(c) })
	e.calls[c.id] = c
	e.used = now
}

// uniqueID makes of a request id one that can stand in a path and names one
// call: a request that was sent twice may come to the same process twice.
func (e *environment) uniqueID(id string) string {
	const good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=."
	clean := []byte(id)
	for i, b := range clean {
		if !slices.Contains([]byte(good), b) {
			clean[i] = '-'
		}
	}
	if len(clean) == 0 || len(clean) > 128 {
		clean = []byte("request")
	}
	unique := string(clean)
	for n := 2; e.calls[unique] != nil || slices.Contains(e.past, unique); n++ {
		unique = fmt.Sprintf("%s-%d", clean, n)
	}
	return unique
}

// Settle takes what became of a call.
func (e *environment) Settle(id string, o runtimeapi.Outcome) error {
	c, late, err := e.release(id, o.Failure != nil)
	if err != nil || late {
		return err
	}
	switch {
	case o.Failure == nil:
		c.finish(o.Body, nil)
	case o.Failure.Unusable:
		c.finish(nil, reported(outputUnusable, *o.Failure))
	default:
		c.finish(nil, reported(handlerFailed, *o.Failure))
	}
	return nil
}

// release frees the slot of a call that the process has settled.
func (e *environment) release(id string, failed bool) (c *call, late bool, err error) {
	f := e.f
	f.mu.Lock()
	defer f.mu.Unlock()
	c = e.calls[id]
	switch {
	case c == nil && slices.Contains(e.past, id):
		return nil, false, fmt.Errorf("invocation %s was settled before: %w", id, runtimeapi.ErrState)
	case c == nil:
		return nil, false, fmt.Errorf("invocation %.128q: %w", id, runtimeapi.ErrUnknownID)
	}
	c.timer.Stop()
	delete(e.calls, id)
	if e.past = append(e.past, id); len(e.past) > f.fn.Concurrency {
		e.past = slices.Delete(e.past, 0, 1)
	}
	e.asked = time.Now()
	e.used = e.asked
	e.last = c.inv.ID
	e.answered++
	e.doubtful = e.doubtful || failed
	e.leaveIfDone()
	f.settled()
	if len(f.queue) > 0 {
		f.kick()
	}
	return c, c.late, nil
}

// overdue answers a call that the function did not answer in time. The process
// gets no new work from now on, and the pool replaces it.
func (e *environment) overdue(c *call) {
	f := e.f
	f.mu.Lock()
	if e.calls[c.id] != c || c.late {
		f.mu.Unlock()
		return
	}
	c.late, e.late = true, true
	e.leaveIfDone()
	f.settled()
	f.mu.Unlock()

	e.log.Warn(fmt.Sprintf("Task timed out after %.2f seconds", f.fn.Timeout.Seconds()), "request", c.inv.ID)
	c.finish(nil, timedOut(c.inv.ID, f.fn.Timeout))
	f.kick()
}

// retire lets e do what it has, and no more. f.mu is held.
func (e *environment) retire(why string) {
	e.log.Info("environment leaves", "why", why, "busy", e.busy())
	e.state = pool.Leaving
	e.leaveIfDone()
}

// leaveIfDone ends the process once it leaves and nobody waits for it. f.mu is held.
func (e *environment) leaveIfDone() {
	if e.state == pool.Leaving && e.busy() == 0 && !e.stopping {
		e.stopping = true
		close(e.quit)
	}
}

// FailInit takes the process's report that it cannot work.
func (e *environment) FailInit(r runtimeapi.Failure) error {
	f := e.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if !e.readyAt.IsZero() || e.initErr != nil {
		return fmt.Errorf("init/error after the first next: %w", runtimeapi.ErrState)
	}
	e.initErr = &r
	if !e.stopping {
		e.stopping = true
		close(e.quit)
	}
	return nil
}
