package origin

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Classes is how many classes of routes are told apart.
const Classes = 64

// ClassOf returns the class of a route: requests that one function answers are
// of one class, others seldom are. An edge does not know the API's routes, so
// the first two segments of the path stand for them.
func ClassOf(method, path string) int {
	h := uint32(2166136261) // FNV-1a
	add := func(b byte) { h = (h ^ uint32(b)) * 16777619 }
	if !Safe(method) {
		add('!')
	}
	for i, slashes := 0, 0; i < len(path); i++ {
		if path[i] == '/' {
			if slashes++; slashes > 2 {
				break
			}
		}
		add(path[i])
	}
	return int(h % Classes)
}

// A sense says how much later than usual a region answers.
//
// The time to the first byte is mostly the function's own, and differs between
// routes by far more than regions differ in distance. So each class of routes
// has its own usual time, the 90th percentile of what it took in this region,
// which rises slowly; only what exceeds it is queueing. Both the newest answers
// and the age of what is still unanswered count: a region that stalls gives no
// answers to measure.
type sense struct {
	pulse pulse

	mu      sync.Mutex // guards what follows
	classes [Classes]class
	newest  [5]time.Duration // what the last answers exceeded their usual time by
	n       int
	peak    time.Duration // the peak EWMA of the median of newest
	at      time.Time     // when peak was that
	waiting int           // requests without a first byte
	begun   time.Duration // the sum of their beginnings, since epoch
	usual   time.Duration // the sum of their usual times
	epoch   time.Time
	back    time.Time // when the region was last heard again: what began before waited for that
}

const (
	// peakDecay is the time constant of the peak EWMA.
	peakDecay = 5 * time.Second
	// noise is what an answer may exceed the usual by and mean nothing.
	noise = 10 * time.Millisecond
	// crowd is from how many unanswered requests on their age means something.
	crowd = 4
)

// A flight is one request on its way.
type flight struct {
	sense *sense
	class int
	start time.Time
	begun time.Duration
	usual time.Duration
	ended bool
}

// begin notes that a request goes to the region.
func (s *sense) begin(class int, now time.Time) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch.IsZero() {
		s.epoch = now
	}
	f := &flight{sense: s, class: class, start: now, begun: now.Sub(s.epoch), usual: s.classes[class].usual}
	if f.usual == 0 {
		f.usual = math.MaxInt32 // two seconds: nothing is known of it
	}
	s.waiting, s.begun, s.usual = s.waiting+1, s.begun+f.begun, s.usual+f.usual
	s.gather(s.waiting == crowd, now)
	return f
}

// end notes that the request got its first byte, or that it never will.
func (f *flight) end(answered bool, now time.Time) {
	s := f.sense
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	s.waiting, s.begun, s.usual = s.waiting-1, s.begun-f.begun, s.usual-f.usual
	s.gather(s.waiting == crowd-1, now)
	if !answered || f.start.Before(s.back) {
		return
	}
	took := now.Sub(f.start)
	c := &s.classes[f.class]
	excess := time.Duration(0)
	if c.n >= len(s.newest) {
		excess = max(0, took-c.usual)
	}
	c.add(took, now)
	s.newest[s.n%len(s.newest)] = excess
	s.n++
	if s.n < len(s.newest) {
		return
	}
	five := s.newest
	slices.Sort(five[:])
	s.peak, s.at = max(s.decayed(now), five[len(five)/2]), now
}

// returned notes that the region is heard again after a silence. What waited for
// that says nothing of how late it answers.
func (s *sense) returned(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back = now
}

// gather tells the pulse when a crowd gathers or parts.
func (s *sense) gather(turned bool, now time.Time) {
	if turned {
		s.pulse.wait(s.waiting >= crowd, now)
	}
}

func (s *sense) decayed(now time.Time) time.Duration {
	return time.Duration(float64(s.peak) * math.Exp(-float64(now.Sub(s.at))/float64(peakDecay)))
}

// queue returns how much later than usual the region answers now.
func (s *sense) queue(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.decayed(now)
	if s.waiting >= crowd {
		n := time.Duration(s.waiting)
		q = max(q, now.Sub(s.epoch)-s.begun/n-s.usual/n)
	}
	if q < noise {
		return 0
	}
	return q
}

// age returns the mean age of the requests without a first byte.
func (s *sense) age(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == 0 {
		return 0
	}
	return now.Sub(s.epoch) - s.begun/time.Duration(s.waiting)
}

// late returns after how long an answer of a class counts as late: the 95th
// percentile of the newest. It reports false while too little is known.
func (s *sense) late(class int) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.classes[class]
	return c.p95, c.p95 > 0
}

// A class is what the answers of one class of routes took.
type class struct {
	usual  time.Duration // about the 90th percentile, slow to rise
	moved  time.Time     // when usual was changed
	newest [64]time.Duration
	n      int
	p95    time.Duration // of newest, as of a few answers ago
}

// usualEvery is how often the usual time moves, by 5/1000 up or 5/9000 down:
// nine to one keeps it at the 90th percentile. It doubles in half a minute at
// most; a function that has become slower looks like a queue until then.
const usualEvery = 250 * time.Millisecond

func (c *class) add(took time.Duration, now time.Time) {
	c.newest[c.n%len(c.newest)] = took
	c.n++
	if c.n%16 == 0 && c.n >= len(c.newest) {
		sorted := c.newest
		slices.Sort(sorted[:])
		c.p95 = sorted[len(sorted)*95/100]
	}
	switch {
	case c.n <= 5: // the first ones: take the longest
		c.usual, c.moved = max(c.usual, took), now
	case now.Sub(c.moved) < usualEvery:
	case took > c.usual:
		c.usual, c.moved = min(c.usual+c.usual*5/1000, took), now
	default:
		c.usual, c.moved = max(c.usual-c.usual*5/9000, took), now
	}
}

// told returns what a request is told of a region's queue. Requests are told
// between nothing and twice the truth, evenly: so the share that goes elsewhere
// grows with the queue, and the rest keeps measuring it. If all were told the
// same, all would leave at once, and all come back at once.
func told(queue time.Duration, turn uint32) time.Duration {
	even := float64(turn*2654435769) / (1 << 32) // multiples of the golden ratio, in [0, 1)
	return time.Duration(float64(queue) * 2 * even)
}
