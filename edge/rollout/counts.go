package rollout

import (
	"math"
	"sync"
	"time"
)

// Counts are what became of requests of one version.
type Counts struct {
	Requests int64          `json:"requests"`
	Errors   int64          `json:"errors"`  // answered 5xx, or broken off
	Refused  int64          `json:"refused"` // answered 4xx
	Seconds  float64        `json:"seconds"` // that all took together
	Buckets  [buckets]int64 `json:"buckets"` // by the time that they took
}

// buckets is how many there are: the first is up to least, each next twice as
// wide, the last without a bound.
const (
	buckets = 18
	least   = 500 * time.Microsecond
)

// bound returns the upper bound of a bucket.
func bound(i int) time.Duration { return least << i }

// An Outcome is what became of one request.
type Outcome struct {
	Status int
	Broken bool          // its response did not end as it should have
	Took   time.Duration // 0 of what is no measure, such as a tunnel
}

func (c *Counts) add(o Outcome) {
	c.Requests++
	switch {
	case o.Broken || o.Status >= 500:
		c.Errors++
	case o.Status >= 400:
		c.Refused++
	}
	c.Seconds += o.Took.Seconds()
	i := 0
	for i < buckets-1 && o.Took > bound(i) {
		i++
	}
	c.Buckets[i]++
}

// Plus returns the sum of both.
func (c Counts) Plus(d Counts) Counts {
	c.Requests, c.Errors, c.Refused, c.Seconds = c.Requests+d.Requests, c.Errors+d.Errors, c.Refused+d.Refused, c.Seconds+d.Seconds
	for i, n := range d.Buckets {
		c.Buckets[i] += n
	}
	return c
}

// timed reports whether no more requests have a time than there are.
func (c Counts) timed() bool {
	left := c.Requests
	for _, n := range c.Buckets {
		if left -= n; n < 0 || left < 0 {
			return false
		}
	}
	return true
}

// Rate returns n as a share of the requests.
func (c Counts) Rate(n int64) float64 {
	if c.Requests == 0 {
		return 0
	}
	return float64(n) / float64(c.Requests)
}

// Quantile returns the time that a share q of the requests took at most, as the
// upper bound of its bucket; of the last, twice its lower.
func (c Counts) Quantile(q float64) time.Duration {
	if c.Requests == 0 {
		return 0
	}
	left := int64(math.Ceil(q * float64(c.Requests)))
	for i, n := range c.Buckets {
		if left -= n; left <= 0 {
			return bound(i)
		}
	}
	return bound(buckets - 1)
}

// within returns the first bucket whose bound is not below d; false if none is.
func within(d time.Duration) (i int, ok bool) {
	for i := range buckets - 1 {
		if bound(i) >= d {
			return i, true
		}
	}
	return 0, false
}

// Longer returns how many requests took longer than the bound of a bucket.
func (c Counts) Longer(than int) (n int64) {
	for _, more := range c.Buckets[than+1:] {
		n += more
	}
	return n
}

// An Arm is what was counted of one version: since it began, since the present
// step, and lately.
type Arm struct {
	Total  Counts `json:"total"`
	Step   Counts `json:"step"`
	Recent Counts `json:"recent"`
}

// Plus returns the sum of both.
func (a Arm) Plus(b Arm) Arm {
	return Arm{a.Total.Plus(b.Total), a.Step.Plus(b.Step), a.Recent.Plus(b.Recent)}
}

// Arms are both versions.
type Arms struct {
	Current Arm `json:"current"`
	Staged  Arm `json:"staged"`
}

// Plus returns the sum of both.
func (a Arms) Plus(b Arms) Arms { return Arms{a.Current.Plus(b.Current), a.Staged.Plus(b.Staged)} }

// Recently is how far back Arm.Recent goes.
const Recently = 20 * time.Second

// A Tally counts both versions at one edge. Its methods may be called by many
// goroutines at once; the zero Tally is empty.
type Tally struct {
	mu   sync.Mutex // guards what follows
	arms [2]tally
}

type tally struct {
	total, step Counts
	ring        [int(Recently / time.Second)]Counts // of each second
	at          [int(Recently / time.Second)]int64  // which
}

// Add counts one request.
func (t *Tally) Add(staged bool, o Outcome, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.arms[index(staged)]
	a.total.add(o)
	a.step.add(o)
	second := now.Unix()
	i := int(second % int64(len(a.ring)))
	if a.at[i] != second {
		a.at[i], a.ring[i] = second, Counts{}
	}
	a.ring[i].add(o)
}

// Begin begins a step.
func (t *Tally) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.arms {
		t.arms[i].step = Counts{}
	}
}

// Arms returns what was counted.
func (t *Tally) Arms(now time.Time) Arms {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Arms{t.arms[0].arm(now), t.arms[1].arm(now)}
}

func (a *tally) arm(now time.Time) Arm {
	out := Arm{Total: a.total, Step: a.step}
	for i, at := range a.at {
		if at > now.Unix()-int64(len(a.ring)) {
			out.Recent = out.Recent.Plus(a.ring[i])
		}
	}
	return out
}

func index(staged bool) int {
	if staged {
		return 1
	}
	return 0
}
