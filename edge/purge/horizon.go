package purge

import "time"

// Bound is how long, at most, an edge answers as fresh with what was purged,
// counted from when the log has the purge: it is as long as an edge that
// hears nothing goes on by itself.
const Bound = 10 * time.Second

// Horizon returns the time before which an edge takes nothing for confirmed that
// the origin said. Sure is the latest time of which the edge knows every purge
// that was logged before it. While that is recent the horizon is zero; else an
// answer is fresh only if the origin gave or confirmed it within Bound.
//
// What the log has as purged at a time T is then served as fresh only before T+Bound:
// with sure after T the edge knows the purge; with sure before T and now after
// T+Bound the horizon is after T.
func Horizon(now, sure time.Time) time.Time {
	if now.Sub(sure) <= Bound {
		return time.Time{}
	}
	return now.Add(-Bound)
}
