package origin

import (
	"fmt"
	"sync"
	"time"

	"meridian"
)

// A Budget bounds how many requests are sent twice, as a share of all. It is a
// token bucket that every request fills a little. It begins empty, so that the
// share holds at any time.
type Budget struct {
	share float64 // of requests

	mu     sync.Mutex // guards what follows
	tokens float64
}

// burst is how many hedges may come at once, when few came before.
const burst = 10

// NewBudget returns a budget of a share of all requests, such as 0.02.
func NewBudget(share float64) *Budget { return &Budget{share: share} }

// Earn notes a request.
func (b *Budget) Earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+b.share, max(burst, b.share))
}

// Spend reports whether one more may be sent twice, and takes it out.
func (b *Budget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// A Late is what Second decides on: a request that its region has not answered,
// although most others like it were by now.
type Late struct {
	First meridian.Region
	Next  Choice        // where it would go if it had been tried at First
	Ready bool          // nothing speaks against Next
	Away  time.Duration // of Next: its round trip and its queue
	Took  time.Duration // so far
	Left  time.Duration // until the request's deadline
}

// Second decides whether a late request is sent to a second region as well, and
// after how much more waiting: when it has waited for as long as an answer from
// there takes at least, since before that the first region's is likelier to come
// sooner.
func Second(l Late) (wait time.Duration, ok bool, why string) {
	wait = max(0, l.Away-l.Took)
	switch {
	case l.Next.Region == "" || l.Next.Region == l.First:
		return 0, false, "there is no second region"
	case !l.Ready:
		return 0, false, fmt.Sprintf("%s is not in good standing", l.Next.Region)
	case wait+l.Away >= l.Left:
		return 0, false, fmt.Sprintf("%s could not answer in time", l.Next.Region)
	}
	return wait, true, fmt.Sprintf("%s had not answered after %s, as most requests like this are", l.First, ms(l.Took+wait))
}

// Late returns after how long a request of a class is late in a region: the
// 95th percentile of the newest. It reports false while too little is known.
func (o *Origin) Late(r meridian.Region, class int) (time.Duration, bool) {
	if l := o.link(r); l != nil {
		return l.sense.late(class)
	}
	return 0, false
}

// Second decides on a request that first has not answered for took.
func (o *Origin) Second(first meridian.Region, took, left time.Duration) (Choice, time.Duration, bool) {
	c := Choose(View{Place: o.cfg.Place, Map: o.deps.Map.Now(), Own: o.own([]meridian.Region{first}, false)})
	l := Late{First: first, Next: c, Took: took, Left: left}
	l.Ready = c.Region != "" && c.Cause != LastResort && o.sound(c.Region)
	if l.Ready {
		l.Away = o.rtt(c.Region) + o.Queue(c.Region)
	}
	wait, ok, why := Second(l)
	return Choice{c.Region, Hedged, why + "; " + c.Why}, wait, ok
}

// sound reports whether a region is connected and its circuit closed: a hedge
// is no probe.
func (o *Origin) sound(r meridian.Region) bool {
	l := o.link(r)
	return l != nil && l.state() == Ready && o.memory.circuit(r).Phase == Closed
}
