package health

import (
	"fmt"
	"time"
)

// A Sight is what one node sees of another. It is a value: what happens next
// makes another one, and the clock is an argument.
type Sight struct {
	OK    bool
	Known bool          // false until the first answer or failure; OK is then a hope
	Why   string        // the reason for OK
	Since time.Time     // when OK became what it is
	Good  int           // answers in a row, counted up to what brings a node back
	RTT   time.Duration // median of the last pings
}

// unseen is the sight of a node before anything is known: a new check is
// healthy until there is data.
func unseen(now time.Time) Sight { return Sight{OK: true, Why: "not probed yet", Since: now} }

// Answered is the sight after an answer.
func (s Sight) Answered(now time.Time, rtt time.Duration) Sight {
	s.RTT = rtt
	s.Good = min(s.Good+1, returnAfter)
	if !s.OK && s.Good < returnAfter {
		s.Why = fmt.Sprintf("answers again, %d of %d times", s.Good, returnAfter)
		return s
	}
	return s.turn(now, true, "answers")
}

// Failed is the sight after a stream could not be opened: nobody listens, or
// nobody is there.
func (s Sight) Failed(now time.Time, why string) Sight {
	s.Good = 0
	return s.turn(now, false, why)
}

// Silent is the sight when the oldest unanswered ping is waited old, unless
// that is not long yet.
func (s Sight) Silent(now time.Time, waited, interval time.Duration) Sight {
	limit := s.patience(interval)
	if waited < limit {
		return s
	}
	s.Good = 0
	return s.turn(now, false, fmt.Sprintf("no answer for %v", limit.Round(time.Millisecond)))
}

// patience is how long an unanswered ping is not yet a death: three intervals,
// and on a long path two round trips and 600 ms.
func (s Sight) patience(interval time.Duration) time.Duration {
	return max(3*interval, 2*s.RTT+600*time.Millisecond)
}

func (s Sight) turn(now time.Time, ok bool, why string) Sight {
	if s.OK != ok || !s.Known {
		s.Since = now
	}
	s.OK, s.Known, s.Why = ok, true, why
	return s
}
