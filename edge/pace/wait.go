package pace

import (
	"sync"
	"time"
)

// A Wait is what is waited for of one request's client: its body, or that it
// takes the response. The zero Wait, and nil, watch nothing.
type Wait struct {
	conn *Conn
	way  *way
	cut  func()

	mu      sync.Mutex // guards what follows
	seen    bool       // the watch knows of it
	over    bool
	since   time.Time     // the client is waited for since; zero if it is not
	waited  time.Duration // before, since the last look
	debt    Debt
	passed  int64 // of way, at the last look
	tooSlow bool
}

// Body begins to watch a body that comes over a connection. cut must end the
// reading in progress; it is called once, if the client is too slow, must not
// block, and must not call back.
func (w *Wait) Body(c *Conn, cut func()) {
	if c != nil && c.watch.rule.Rate > 0 {
		w.conn, w.way, w.cut = c, &c.in, cut
	}
}

// Response begins to watch a response that goes over a connection.
func (w *Wait) Response(c *Conn, cut func()) {
	if c != nil && c.watch.rule.Rate > 0 {
		w.conn, w.way, w.cut = c, &c.out, cut
	}
}

// Begin says that the client is waited for.
func (w *Wait) Begin() {
	if w == nil || w.conn == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || !w.since.IsZero() {
		return
	}
	w.since = w.conn.watch.now()
	w.way.waiting.Add(1)
	if !w.seen {
		w.seen, w.passed = true, w.way.bytes()
		w.conn.watch.add(w)
	}
}

// End says that the client is not waited for any more.
func (w *Wait) End() {
	if w == nil || w.conn == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop(w.conn.watch.now())
}

func (w *Wait) stop(now time.Time) {
	if w.since.IsZero() {
		return
	}
	w.waited += now.Sub(w.since)
	w.since = time.Time{}
	w.way.waiting.Add(-1)
}

// Close ends the watching. cut is not called after it has returned.
func (w *Wait) Close() {
	if w == nil || w.conn == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.stop(time.Time{})
	if w.seen {
		w.seen = false
		w.conn.watch.forget(w)
	}
}

// TooSlow reports whether the client was cut off.
func (w *Wait) TooSlow() bool {
	if w == nil || w.conn == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tooSlow
}

func (w *Wait) look(now time.Time) (again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	waits := !w.since.IsZero()
	if waits {
		w.waited += now.Sub(w.since)
		w.since = now
	}
	passed, rule := w.way.bytes(), w.conn.watch.rule
	share := (passed - w.passed) / max(1, w.way.waiting.Load())
	w.passed = passed
	if !w.conn.excuses(w.way) {
		w.debt = rule.After(w.debt, w.waited, share)
	}
	w.waited = 0
	if rule.Slow(w.debt) {
		w.over, w.tooSlow = true, true
		w.stop(now)
		w.cut()
	}
	w.seen = waits && !w.over
	return w.seen
}
