package origin

import (
	"context"
	"time"
)

// A Waiting is what Leave decides on: a request that waits for a region of which
// nothing is heard any more.
type Waiting struct {
	Elsewhere bool // another region serves
	Movable   bool // it is safe to repeat, or the regions execute it once: it goes there
}

// A Leaving says how long after silence became a proof (see Patience) a request
// stops waiting, and why.
type Leaving struct {
	Ever  bool
	After time.Duration
	Why   string
}

// lull is how much longer than the proof takes a request waits that is not
// moved. A region that merely stood still for a moment is mostly heard again
// within it (see blink), and then the request has its answer. With it, and half
// a second for the proof, its client hears within a second that nobody can know.
const lull = 300 * time.Millisecond

// Leave decides how long a request waits for a silent region. It says nothing of
// whether the request is sent again: Retry does.
func Leave(w Waiting) Leaving {
	switch {
	case !w.Elsewhere:
		return Leaving{Why: "there is no other region, and this one may be heard again"}
	case w.Movable:
		return Leaving{Ever: true, Why: "another region can answer it"}
	}
	return Leaving{Ever: true, After: lull, Why: "it may have been executed: no other region may answer it, and its client should not wait for what does not come"}
}

// onSilence calls lose once the region was silent for too long for the request,
// until the function that it returns is called. What is moved leaves a silent
// connection; what is not waits until all of them are.
func (c *conn) onSilence(l *link, d Leaving, lose func()) (stop func() bool) {
	switch {
	case !d.Ever:
		return func() bool { return true }
	case d.After == 0:
		return context.AfterFunc(c.ear.whileHeard(), lose)
	}
	return context.AfterFunc(l.whileHoped(), lose)
}
