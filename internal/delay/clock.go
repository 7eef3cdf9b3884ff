package delay

import (
	"container/heap"
	"sync"
	"time"
)

// A Clock makes alarms.
type Clock interface {
	// NewAlarm returns an alarm that is not set. Ring must not block.
	NewAlarm(ring func()) Alarm
}

// An Alarm rings once after each Reset, unless it is stopped or reset before.
// It may ring once too often: who is woken looks at the time.
type Alarm interface {
	Reset(time.Duration) bool
	Stop() bool
}

// Timers is a Clock of plain timers. They ring up to 1 ms late, since Go's
// poller waits in whole milliseconds.
type Timers struct{}

// NewAlarm returns a time.Timer that is not set.
func (Timers) NewAlarm(ring func()) Alarm {
	t := time.AfterFunc(time.Hour, ring)
	t.Stop()
	return t
}

// A ticker rings alarms from one goroutine that waits on one wakeup source, of
// which each system has its own. It runs while an alarm is set.
type ticker struct {
	open func() (waker, error)

	mu      sync.Mutex // guards what follows
	waiting alarms
	waker   waker // nil while no alarm is set
}

// A waker is a timer of the system.
type waker interface {
	set(time.Duration) error // wake after d > 0; replaces an earlier set
	wait() error             // until it wakes, perhaps too early
	close() error
}

// NewAlarm returns an alarm of t.
func (t *ticker) NewAlarm(ring func()) Alarm { return &tickerAlarm{ticker: t, ring: ring, at: -1} }

type tickerAlarm struct {
	ticker   *ticker
	ring     func()
	due      time.Time
	at       int   // index in ticker.waiting, or -1
	fallback Alarm // where the system has no timer for us
}

// Reset sets the alarm to ring after d.
func (a *tickerAlarm) Reset(d time.Duration) bool {
	t := a.ticker
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.remove(a)
	if t.waker == nil {
		w, err := t.open()
		if err != nil { // out of file descriptors: late is better than never
			return a.plain().Reset(d) || was
		}
		t.waker = w
		go t.run(w) // ends when no alarm is set
	}
	a.due = time.Now().Add(d)
	heap.Push(&t.waiting, a)
	if a.at == 0 {
		t.waker.set(max(d, 1))
	}
	return was
}

// Stop unsets the alarm and reports whether it was set.
func (a *tickerAlarm) Stop() bool {
	a.ticker.mu.Lock()
	defer a.ticker.mu.Unlock()
	was := a.ticker.remove(a)
	if a.fallback != nil {
		was = a.fallback.Stop() || was
	}
	return was
}

func (a *tickerAlarm) plain() Alarm {
	if a.fallback == nil {
		a.fallback = Timers{}.NewAlarm(a.ring)
	}
	return a.fallback
}

// remove takes a off the heap. The caller holds mu.
func (t *ticker) remove(a *tickerAlarm) bool {
	if a.at < 0 {
		return false
	}
	heap.Remove(&t.waiting, a.at)
	return true
}

// run rings alarms until none has been set for a while.
func (t *ticker) run(w waker) {
	for idle := false; ; {
		if err := w.wait(); err != nil {
			t.abandon(w)
			return
		}
		var more bool
		if more, idle = t.ringDue(w, idle); !more {
			return
		}
	}
}

// linger is how long run waits for work before it gives its waker back.
const linger = time.Second

// ringDue rings what is due and sets w for what is not. It gives w back and
// reports !more if nothing is set and nothing was a linger ago.
func (t *ticker) ringDue(w waker, wasIdle bool) (more, idle bool) {
	due, next := t.popDue()
	for _, a := range due {
		a.ring() // without the lock: who is rung may set its alarm anew
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.waiting) > 0:
		return true, false
	case !wasIdle || len(due) > 0:
		w.set(next)
		return true, true
	}
	t.waker = nil
	w.close()
	return false, true
}

// popDue takes what is due off the heap and sets the waker for the rest, or
// for a linger from now.
func (t *ticker) popDue() (due []*tickerAlarm, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for len(t.waiting) > 0 && !t.waiting[0].due.After(now) {
		due = append(due, heap.Pop(&t.waiting).(*tickerAlarm))
	}
	if len(t.waiting) == 0 {
		return due, linger
	}
	next = max(t.waiting[0].due.Sub(now), 1)
	t.waker.set(next)
	return due, next
}

// abandon moves the alarms of a broken waker to plain timers.
func (t *ticker) abandon(w waker) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.waiting) > 0 {
		a := heap.Pop(&t.waiting).(*tickerAlarm)
		a.plain().Reset(time.Until(a.due))
	}
	t.waker = nil
	w.close()
}

// alarms is a heap by due time.
type alarms []*tickerAlarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is for package heap.
func (h *alarms) Push(x any) {
	a := x.(*tickerAlarm)
	a.at = len(*h)
	*h = append(*h, a)
}

// Pop is for package heap.
func (h *alarms) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.at = -1
	return a
}
