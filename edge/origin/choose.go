package origin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/topology"
)

// A State is what this edge itself knows of its way to a region.
type State int

// The states, best first.
const (
	Ready   State = iota // connected, and nothing speaks against it
	Warming              // it returned, and this request is not of its share yet; or there are hints that it is broken
	Cold                 // not connected yet
	Broken               // its circuit is open
)

// Own is this edge's own experience of one region. A region of the snapshot
// without one counts as Cold and of unknown distance.
type Own struct {
	Region meridian.Region
	RTT    time.Duration // -1 if it was not measured
	Queue  time.Duration // how much later than usual it answers, as this request is told
	State  State
	Why    string // of a state that is not Ready, or of a probe
	Tries  int    // how often this request was sent there already
}

// A View is what Choose decides on.
type View struct {
	Place meridian.Region // where the edge stands
	Map   *topology.Snapshot
	Own   []Own
	Last  meridian.Region // the choice before, kept against a small gain
}

// A Cause is the kind of a choice's reason: a closed set, for metrics.
type Cause string

// The causes.
const (
	Nearest    Cause = "nearest"     // the least round trip of all regions
	Kept       Cause = "kept"        // another is nearer, but not by enough to move
	PassedOver Cause = "passed-over" // a nearer one is not serving, failed, or answers late
	LastResort Cause = "last-resort" // nothing looks good; this looks least bad
	NoRegion   Cause = "no-region"   // the map is empty
	Hedged     Cause = "hedged"      // another was asked first, and is late
	Named      Cause = "named"       // it is no region, but an origin that the behaviour names
)

// A Choice is a region and the reason for it. Region is "" if there is none.
type Choice struct {
	Region meridian.Region
	Cause  Cause
	Why    string
}

// A change of region must gain both of these, or the region is kept: two
// regions at like distances would otherwise take turns with the jitter.
const (
	gainTime  = 2 * time.Millisecond
	gainShare = 10 // percent
)

// Choose returns the region that the next attempt of a request goes to: the one
// that answers soonest, by its round trip and its queue, of those that serve, that this edge can reach, and that the request
// has not been sent to. Where no region has all of that, it gives up, in this
// order, that the request is of a returning region's share, that a connection
// stands ready, that the map says the region serves, that its circuit is not
// open, and that it was not tried: an unlikely answer
// is better than none (guarantee 8).
func Choose(v View) Choice {
	cs := candidates(v)
	if len(cs) == 0 {
		return Choice{"", NoRegion, "the map has no region"}
	}
	slices.SortStableFunc(cs, func(a, b candidate) int {
		return cmp.Or(a.rank.compare(b.rank), compareRTT(a.cost(), b.cost()))
	})
	best := cs[0]
	if i := slices.IndexFunc(cs, func(c candidate) bool { return c.region == v.Last }); i > 0 && keeps(cs[i], best) {
		return Choice{v.Last, Kept, fmt.Sprintf("kept, %s; %s (%s) gains too little to move", cs[i].distance(), best.region, best.distance())}
	}
	return explain(best, cs)
}

// A candidate is a region with all that speaks for and against it.
type candidate struct {
	region meridian.Region
	rtt    time.Duration // -1 if unknown
	queue  time.Duration
	rank   rank
	why    string // what speaks against it, "" if nothing does
	note   string // what is to be said of it though it may be used
}

// cost is how long after now an answer may begin, but for the function's own
// time; -1 if unknown.
func (c candidate) cost() time.Duration {
	if c.rtt < 0 {
		return c.rtt
	}
	return c.rtt + c.queue
}

// distance says what cost is made of.
func (c candidate) distance() string {
	if c.queue <= 0 {
		return distance(c.rtt)
	}
	return fmt.Sprintf("%s and %s behind", distance(c.rtt), ms(c.queue))
}

// A rank orders candidates ahead of their distance; less is better, and an
// earlier field outweighs all later ones.
type rank struct {
	tries  int
	broken bool
	tier   int // 0 serving, 1 healthy but drained, 2 unhealthy
	cold   bool
	warm   bool // of those that return, beyond its share
}

func (r rank) compare(s rank) int {
	return cmp.Or(cmp.Compare(r.tries, s.tries), compareBool(r.broken, s.broken), cmp.Compare(r.tier, s.tier), compareBool(r.cold, s.cold), compareBool(r.warm, s.warm))
}

func candidates(v View) []candidate {
	serving := v.Map.Serving()
	out := make([]candidate, 0, len(v.Map.Regions))
	for _, r := range v.Map.Regions {
		own := Own{Region: r.Name, RTT: -1, State: Cold}
		if i := slices.IndexFunc(v.Own, func(o Own) bool { return o.Region == r.Name }); i >= 0 {
			own = v.Own[i]
		}
		if own.RTT < 0 {
			if d, ok := v.Map.RTT(v.Place, r.Name); ok {
				own.RTT = d
			}
		}
		out = append(out, judge(r, own, slices.ContainsFunc(serving, func(s topology.Region) bool { return s.Name == r.Name })))
	}
	return out
}

// judge weighs one region and says what speaks against it, the worst first.
func judge(r topology.Region, own Own, serves bool) candidate {
	c := candidate{region: r.Name, rtt: own.RTT, queue: own.Queue, rank: rank{tries: own.Tries, broken: own.State == Broken, cold: own.State == Cold, warm: own.State == Warming}}
	switch {
	case serves:
	case r.Healthy:
		c.rank.tier = 1
	default:
		c.rank.tier = 2
	}
	switch {
	case own.Tries > 0:
		c.why = "was tried"
	case own.State == Broken:
		c.why = cmp.Or(own.Why, "failed a moment ago")
	case c.rank.tier == 1:
		c.why = cmp.Or(r.Why, "is drained")
	case c.rank.tier == 2:
		c.why = cmp.Or(r.Why, "is unhealthy")
	case own.State == Cold:
		c.why = "is not connected yet"
	case own.State == Warming:
		c.why = cmp.Or(own.Why, "is let in again")
	case own.Why != "":
		c.note = "; it " + own.Why
	}
	return c
}

// keeps reports whether the last choice stays although best is nearer.
func keeps(last, best candidate) bool {
	if last.rank != best.rank || last.rtt < 0 || best.rtt < 0 {
		return false
	}
	gain := last.cost() - best.cost()
	return gain < gainTime || gain*100 < last.cost()*gainShare
}

// explain says why best, the first of cs, was taken: by its distance, and by
// what spoke against each nearer one.
func explain(best candidate, cs []candidate) Choice {
	if best.rank.tries > 0 || best.rank.broken || best.rank.tier > 0 {
		return Choice{best.region, LastResort, fmt.Sprintf("it %s, but no other looks better; %s", best.why, best.distance())}
	}
	var over []string
	for _, c := range cs[1:] {
		switch {
		case compareRTT(c.rtt, best.rtt) >= 0:
		case c.why != "":
			over = append(over, fmt.Sprintf("%s (%s): %s", c.region, distance(c.rtt), c.why))
		case c.queue > 0:
			over = append(over, fmt.Sprintf("%s (%s): answers late", c.region, c.distance()))
		}
	}
	if len(over) > 0 {
		return Choice{best.region, PassedOver, best.distance() + "; passed over " + strings.Join(over, ", ") + best.note}
	}
	return Choice{best.region, Nearest, "nearest, " + best.distance() + best.note}
}

// compareRTT orders round trips, the unknown ones last.
func compareRTT(a, b time.Duration) int {
	if a < 0 || b < 0 {
		return -cmp.Compare(min(a, 0), min(b, 0))
	}
	return cmp.Compare(a, b)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func distance(d time.Duration) string {
	if d < 0 {
		return "at an unknown distance"
	}
	return ms(d) + " away"
}

func ms(d time.Duration) string {
	if f := float64(d) / float64(time.Millisecond); f < 100 {
		return fmt.Sprintf("%.3g ms", f)
	}
	return fmt.Sprint(d.Milliseconds(), " ms")
}
