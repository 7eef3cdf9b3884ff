package origin

import (
	"fmt"
	"time"
)

// A Phase says how much of the traffic a circuit lets through.
type Phase int

// The phases.
const (
	Closed   Phase = iota // all of it
	Open                  // none of it
	HalfOpen              // one request, as a probe
	Slow                  // a share that grows
	Doubted               // none of it for a moment, if there is another region: another edge says that it is broken
)

func (p Phase) String() string {
	return [...]string{"closed", "open", "half-open", "slow", "doubted"}[p]
}

// Evidence is what a circuit was opened by. It decides what closes it.
type Evidence string

// The kinds of evidence.
const (
	ByLink    Evidence = "link"    // connections broke, or could not be made: a new one disproves it
	ByRequest Evidence = "request" // requests failed on connections that stand: only an answer disproves it
	BySilence Evidence = "silence" // nothing was heard: a byte or a new connection disproves it, and no request is risked before
	ByWord    Evidence = "word"    // the region itself said that it is not serving
)

const (
	// A circuit opens after that many failures in a row, or as many within a
	// window if at least half of what was tried in it failed.
	tolerated = 3
	window    = 10 * time.Second

	// How long a circuit stays open at first, and at most. Each failure of a
	// probe doubles it.
	firstAvoid = time.Second
	longAvoid  = 16 * time.Second

	// A region that returns gets a tenth of its requests at first, and all of
	// them after four times the length of its absence, and soon in any case.
	slowShare = 0.1
	slowTimes = 4
	slowMost  = 5 * time.Second

	// blink is how long after it opened a circuit closes at once when the
	// region is heard on a connection that stands.
	blink = 600 * time.Millisecond
)

// A Circuit is what an edge believes of its way to one region. It is a value:
// what happens next makes another one, and the clock is an argument. The zero
// Circuit is closed.
type Circuit struct {
	Phase Phase
	By    Evidence
	Why   string    // of a circuit that is not closed
	Since time.Time // when Phase became what it is

	broke  time.Time // when it opened first, since it was closed
	until  time.Time // of Open and HalfOpen: when the next probe may go
	avoid  time.Duration
	row    int // failures since the last answer
	good   int // answers in this window
	bad    int // failures in this window
	began  time.Time
	credit float64   // of Slow: requests that are due
	deaf   time.Time // no rumour is heard until then
}

// Failed is the circuit after a failure.
func (c Circuit) Failed(now time.Time, by Evidence, why string) Circuit {
	if c.Phase == Open {
		return c
	}
	c = c.roll(now)
	c.row, c.bad = c.row+1, c.bad+1
	switch {
	case c.Phase != Closed:
		return c.open(now, by, why)
	case c.row >= tolerated:
		return c.open(now, by, fmt.Sprintf("failed %d times in a row, the last: %s", c.row, why))
	case c.bad >= tolerated && c.bad >= c.good:
		return c.open(now, by, fmt.Sprintf("failed %d of %d times, the last: %s", c.bad, c.bad+c.good, why))
	}
	return c
}

// Rumoured is the circuit after another edge said that the region is broken.
// That makes this edge doubt, and look for itself: a rumour of failed requests
// lets one probe go, one of silence waits for a byte, which a connection that
// stands brings within a ping. What this edge has seen itself outweighs it.
func (c Circuit) Rumoured(now time.Time, by Evidence, why string) Circuit {
	if c.Phase != Closed || now.Before(c.deaf) {
		return c
	}
	c.Phase, c.By, c.Why, c.Since = Doubted, by, why, now
	c.until = now
	if by == ByLink || by == BySilence {
		c.until = now.Add(rumourLife)
	}
	return c
}

// Silent is the circuit once nothing was heard for too long.
func (c Circuit) Silent(now time.Time, why string) Circuit {
	if c.Phase == Open {
		return c
	}
	return c.open(now, BySilence, why)
}

// Refused is the circuit after the region said that it is not serving.
func (c Circuit) Refused(now time.Time, why string) Circuit { return c.open(now, ByWord, why) }

// Spoke is the circuit when something was heard again after silence. After a
// short one, as of a machine that is busy with something else, nothing was
// lost and nothing need be warmed: the circuit closes.
func (c Circuit) Spoke(now time.Time) Circuit {
	switch {
	case c.Phase == Open && c.By == BySilence && now.Sub(c.broke) < blink:
		return Circuit{deaf: c.deaf}
	case c.Phase == Open && c.By == BySilence:
		return c.halfOpen(now)
	case c.Phase == Doubted && (c.By == BySilence || c.By == ByLink):
		return Circuit{deaf: now.Add(deafAfter)}
	}
	return c
}

// Linked is the circuit when a new connection stands.
func (c Circuit) Linked(now time.Time) Circuit {
	if c.Phase == Open && (c.By == ByLink || c.By == BySilence) {
		return c.halfOpen(now)
	}
	return c
}

// Answered is the circuit after a request got an answer.
func (c Circuit) Answered(now time.Time) Circuit {
	c = c.roll(now)
	c.row, c.good = 0, c.good+1
	switch {
	case c.Phase == HalfOpen, c.Phase == Open && c.By != ByWord:
		c.Phase, c.Since, c.credit = Slow, now, 0
	case c.Phase == Slow && c.share(now) >= 1:
		return Circuit{}
	case c.Phase == Doubted:
		return Circuit{deaf: now.Add(deafAfter)}
	}
	return c
}

// Ask is the circuit after a request would have gone to the region, and whether
// it may. Went must follow if it goes.
func (c Circuit) Ask(now time.Time) (Circuit, bool) {
	switch c.Phase {
	case Open, HalfOpen, Doubted:
		return c, c.probes(now)
	case Slow:
		share := c.share(now)
		c.credit = min(c.credit+share, 2)
		return c, c.credit >= 1 || share >= 1
	}
	return c, true
}

// Went is the circuit after a request went to the region. If the circuit was
// open the request is a probe, and others keep away for a while.
func (c Circuit) Went(now time.Time) Circuit {
	switch {
	case c.Phase == Doubted && now.Sub(c.Since) >= rumourLife:
		return Circuit{}
	case c.Phase == Doubted && c.probes(now):
		c.until = now.Add(rumourLife)
	case c.probes(now):
		c = c.halfOpen(now)
		c.until = now.Add(firstAvoid)
	case c.Phase == Slow:
		c.credit = max(c.credit-1, 0)
	}
	return c
}

// Says tells what speaks against the region, or "".
func (c Circuit) Says(now time.Time) string {
	switch {
	case c.Phase == Doubted && now.Sub(c.Since) >= rumourLife:
		return ""
	case c.Phase == Doubted && !c.probes(now):
		return "is doubted (" + c.Why + ")"
	case c.Phase == HalfOpen, c.probes(now):
		return "is being probed (" + c.Why + ")"
	case c.Phase == Slow:
		return fmt.Sprintf("is let in again, %.0f %% (%s)", 100*c.share(now), c.Why)
	}
	return c.Why
}

// probes reports whether the next request is a probe.
func (c Circuit) probes(now time.Time) bool {
	if c.Phase == Doubted && now.Sub(c.Since) >= rumourLife {
		return true // it has expired
	}
	return (c.Phase == HalfOpen || c.Phase == Doubted || c.Phase == Open && c.By != BySilence) && !now.Before(c.until)
}

// share is what part of the requests a region gets that returns.
func (c Circuit) share(now time.Time) float64 {
	ramp := min(slowTimes*c.Since.Sub(c.broke), slowMost)
	if ramp <= 0 {
		return 1
	}
	return min(slowShare+(1-slowShare)*float64(now.Sub(c.Since))/float64(ramp), 1)
}

func (c Circuit) open(now time.Time, by Evidence, why string) Circuit {
	if c.Phase == Closed || c.Phase == Doubted {
		c.broke, c.avoid = now, firstAvoid
	} else {
		c.avoid = min(2*c.avoid, longAvoid)
	}
	c.Phase, c.By, c.Why, c.Since = Open, by, why, now
	c.until = now.Add(c.avoid)
	return c
}

// halfOpen lets a probe go at once.
func (c Circuit) halfOpen(now time.Time) Circuit {
	if c.Phase != HalfOpen {
		c.Phase, c.Since = HalfOpen, now
	}
	c.until = now
	return c
}

// roll begins a new window when the old one is over.
func (c Circuit) roll(now time.Time) Circuit {
	if now.Sub(c.began) >= window {
		c.good, c.bad, c.began = 0, 0, now
	}
	return c
}
