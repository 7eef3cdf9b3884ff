package delay

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A Fault is what is wrong with a line. The zero Fault is none.
type Fault struct {
	Cut   bool          // nothing arrives, and nothing says so
	Mute  bool          // the same for what the dialing end sends
	Deaf  bool          // the same for what the dialing end should get
	Extra time.Duration // added to the round trip
}

// Reverse returns the same fault for a line that is dialed from the other end.
func (f Fault) Reverse() Fault {
	f.Mute, f.Deaf = f.Deaf, f.Mute
	return f
}

// cuts reports whether f lets nothing pass in a direction.
func (f Fault) cuts(d direction) bool {
	return f.Cut || f.Mute && d == outward || f.Deaf && d == inward
}

// A direction of a line, seen from the end that dials.
type direction int

const (
	outward direction = iota
	inward
)

// A Line is the path between two places. Its fault may change at any time;
// connections on it follow at once.
type Line struct {
	p50, p90 time.Duration // of the round trip
	now      atomic.Pointer[condition]

	mu     sync.Mutex // guards what follows
	queues map[*queue]struct{}
}

// A condition is what a line is like at one time.
type condition struct {
	Fault
	mended [2]time.Time // the end of the last cut, by direction
}

// NewLine returns a line without fault. A round trip takes p50 in the median,
// never less, and p90 in the 90th percentile.
func NewLine(p50, p90 time.Duration) *Line {
	l := &Line{p50: p50, p90: max(p50, p90), queues: map[*queue]struct{}{}}
	l.now.Store(&condition{})
	return l
}

// Set makes f the fault of the line.
func (l *Line) Set(f Fault) {
	l.mu.Lock()
	old := l.now.Load()
	c := &condition{Fault: f, mended: old.mended}
	for _, d := range []direction{outward, inward} {
		if old.cuts(d) && !f.cuts(d) {
			c.mended[d] = time.Now()
		}
	}
	l.now.Store(c)
	queues := make([]*queue, 0, len(l.queues))
	for q := range l.queues {
		queues = append(queues, q)
	}
	l.mu.Unlock()
	for _, q := range queues {
		q.wake()
	}
}

// Fault returns the fault of the line.
func (l *Line) Fault() Fault { return l.now.Load().Fault }

// RTT returns the median round trip, with what the fault adds.
func (l *Line) RTT() time.Duration { return l.p50 + l.Fault().Extra }

// oneWay is the least time from one end to the other.
func (l *Line) oneWay() time.Duration { return l.RTT() / 2 }

// Jitter of one direction is 0 with probability calm, and else anything up to
// spread times what p90 adds to the round trip. The sum of two such directions
// has median 0 and its 90th percentile at what p90 adds: calm*calm > 1/2, and
// spread solves P(sum > p90-p50) = 0.1.
const (
	calm   = 0.71
	spread = 1.135
)

// jitter draws what one direction adds to oneWay.
func (l *Line) jitter() time.Duration {
	if l.p90 == l.p50 || rand.Float64() < calm {
		return 0
	}
	return time.Duration(rand.Float64() * spread * float64(l.p90-l.p50))
}

// release says when bytes that are due at a time come out of the line, as far
// as is known now: after a cut they were sent anew. It reports false while the
// line is cut in that direction.
func (l *Line) release(due time.Time, d direction) (time.Time, bool) {
	c := l.now.Load()
	if c.cuts(d) {
		return time.Time{}, false
	}
	if c.mended[d].IsZero() {
		return due, true
	}
	if again := c.mended[d].Add((l.p50 + c.Extra) / 2); again.After(due) {
		return again, true
	}
	return due, true
}

func (l *Line) join(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues[q] = struct{}{}
}

func (l *Line) leave(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.queues, q)
}
