// Package rtt keeps what samples of a round trip say: the path's own time, and
// what one can expect of it now.
package rtt

import (
	"slices"
	"time"
)

const (
	// halfLife is how long a minimum holds at least; it is forgotten after
	// twice that, so that a path that has become longer is noticed.
	halfLife = 30 * time.Second
	// kept is how many samples the median is of: nine seconds at a ping each
	// 300 ms.
	kept = 31
)

// An Estimate is what the samples so far say. The zero Estimate has none. It is
// not for concurrent use.
type Estimate struct {
	samples   [kept]time.Duration // a ring
	n         int                 // samples ever
	at        time.Time           // of the last
	min, prev time.Duration       // of this half-life and the one before
	since     time.Time           // when this half-life began
}

// Add takes a sample. Times must not go back.
func (e *Estimate) Add(d time.Duration, now time.Time) {
	switch age := now.Sub(e.since); {
	case e.n == 0 || age >= 2*halfLife:
		e.min, e.prev, e.since = d, d, now
	case age >= halfLife:
		e.min, e.prev, e.since = d, e.min, now
	default:
		e.min = min(e.min, d)
	}
	e.samples[e.n%kept] = d
	e.n++
	e.at = now
}

// Min returns the least sample of the last 30 to 60 seconds, 0 without any.
func (e *Estimate) Min() time.Duration { return min(e.min, e.prev) }

// P50 returns the median of the last 31 samples, 0 without any.
func (e *Estimate) P50() time.Duration {
	if e.n == 0 {
		return 0
	}
	s := e.samples
	last := s[:min(e.n, kept)]
	slices.Sort(last)
	return last[(len(last)-1)/2]
}

// Last returns the last sample and when it was taken.
func (e *Estimate) Last() (time.Duration, time.Time) { return e.samples[max(e.n-1, 0)%kept], e.at }
