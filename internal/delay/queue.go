package delay

import (
	"net"
	"os"
	"sync"
	"time"
)

const (
	// window bounds the bytes on their way in one direction. It is what a
	// round trip of 400 ms needs for 40 MB/s.
	window = 8 << 20
	// overhead is what a segment costs beside its bytes, so that many tiny
	// writes fill the window too.
	overhead = 96
	// gust is how long a drawn jitter lasts: neighbours in time suffer alike,
	// or the worst of them would hold up every stream.
	gust = 20 * time.Millisecond
)

// A queue is one direction of a connection: what was put comes out, in order,
// a one-way delay later.
type queue struct {
	line  *Line
	way   direction
	alarm Alarm

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	segs    []segment
	size    int       // of segs, with overhead
	last    time.Time // when the newest segment is due
	jitter  time.Duration
	drawn   time.Time // when jitter was drawn
	end     *segment  // follows segs; its err is for the taker
	broken  error     // for both ends, at once
	putBy   deadline
	takeBy  deadline
}

// A segment is bytes that arrive together, or the end.
type segment struct {
	due time.Time
	b   []byte
	err error
}

func newQueue(line *Line, way direction, clock Clock) *queue {
	q := &queue{line: line, way: way}
	q.changed = sync.NewCond(&q.mu)
	q.alarm = clock.NewAlarm(q.wake)
	q.putBy.wake, q.takeBy.wake = q.wake, q.wake
	line.join(q)
	return q
}

// wake makes the ends look again.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// put sends a copy of b. It blocks while the window is full.
func (q *queue) put(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		chunk := b[:min(len(b), window/8)]
		if err = q.putSegment(append([]byte(nil), chunk...)); err == nil {
			n += len(chunk)
			b = b[len(chunk):]
		}
	}
	return n, err
}

func (q *queue) putSegment(b []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > 0 && q.size+len(b)+overhead > window && q.broken == nil && !q.putBy.passed() {
		q.changed.Wait()
	}
	switch {
	case q.broken != nil:
		return q.broken
	case q.end != nil:
		return net.ErrClosed
	case q.putBy.passed():
		return os.ErrDeadlineExceeded
	}
	q.segs = append(q.segs, segment{due: q.stamp(), b: b})
	q.size += len(b) + overhead
	if len(q.segs) == 1 {
		q.changed.Broadcast()
	}
	return nil
}

// stamp says when bytes sent now arrive: never before earlier ones.
func (q *queue) stamp() time.Time {
	now := time.Now()
	if now.Sub(q.drawn) >= gust {
		q.drawn, q.jitter = now, q.line.jitter()
	}
	if due := now.Add(q.line.oneWay() + q.jitter); due.After(q.last) {
		q.last = due
	}
	return q.last
}

// finish sends the end: the taker gets err after all bytes.
func (q *queue) finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.end == nil {
		q.end = &segment{due: q.stamp(), err: err}
		q.changed.Broadcast()
	}
}

// abort ends the queue at once for both sides and drops what is in it.
func (q *queue) abort(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken == nil {
		q.broken = err
		q.segs, q.size = nil, 0
		q.alarm.Stop()
		q.changed.Broadcast()
	}
}

// close takes a queue that nobody uses any more off its line.
func (q *queue) close() {
	q.line.leave(q)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.alarm.Stop()
	q.putBy.set(time.Time{})
	q.takeBy.set(time.Time{})
}

// take waits for bytes and copies them to b.
func (q *queue) take(b []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.await(); err != nil {
		return 0, err
	}
	n := 0
	for now := time.Now(); n < len(b) && len(q.segs) > 0 && !q.segs[0].due.After(now); {
		s := &q.segs[0]
		c := copy(b[n:], s.b)
		n += c
		if s.b = s.b[c:]; len(s.b) == 0 {
			q.segs[0] = segment{}
			q.segs = q.segs[1:]
			c += overhead
		}
		q.size -= c
	}
	q.changed.Broadcast()
	return n, nil
}

// await waits until the first segment has arrived, and returns the error with
// which the queue ends.
func (q *queue) await() error {
	for {
		switch {
		case q.broken != nil:
			return q.broken
		case q.takeBy.passed():
			return os.ErrDeadlineExceeded
		}
		if next := q.next(); next != nil {
			if due, ok := q.line.release(next.due, q.way); ok {
				wait := time.Until(due)
				if wait <= 0 {
					return next.err
				}
				q.alarm.Reset(wait)
			}
		}
		q.changed.Wait()
	}
}

func (q *queue) next() *segment {
	if len(q.segs) > 0 {
		return &q.segs[0]
	}
	return q.end
}

// setDeadline sets one of q's deadlines.
func (q *queue) setDeadline(d *deadline, t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.set(t)
	q.changed.Broadcast()
}

// A deadline is when an operation gives up. The zero deadline is never.
type deadline struct {
	wake  func()
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(t time.Time) {
	d.at = t
	if d.timer != nil {
		d.timer.Stop()
	}
	if left := time.Until(t); !t.IsZero() && left > 0 {
		if d.timer == nil {
			d.timer = time.AfterFunc(left, d.wake)
		} else {
			d.timer.Reset(left)
		}
	}
}
