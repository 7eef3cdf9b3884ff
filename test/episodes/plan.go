package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"meridian/postgres/failover"
)

// A fault is something that an episode may do to its world.
type fault string

// The faults. The last three take the primary away without its consent, and
// with asynchronous replication may lose what was acknowledged last.
const (
	down       fault = "down"       // kill a secondary's region
	pause      fault = "pause"      // stop it
	cut        fault = "cut"        // cut the link between two regions
	oneWay     fault = "oneway"     // cut it in one direction
	slow       fault = "slow"       // slow it down
	sleep      fault = "sleep"      // stop all regions, as a machine that is suspended does
	switchover fault = "switchover" // move the primary
	kill       fault = "kill"       // kill the primary's region
	freeze     fault = "freeze"     // stop it
	isolate    fault = "isolate"    // cut all its links
)

var planned = []fault{down, pause, cut, oneWay, slow, sleep, switchover}
var unplanned = []fault{kill, freeze, isolate}

// parseFaults reads a list of faults; "all" and "planned" are lists.
func parseFaults(list string) (out []fault, err error) {
	for name := range strings.SplitSeq(list, ",") {
		switch f := fault(strings.TrimSpace(name)); {
		case f == "all":
			out = append(append(out, planned...), unplanned...)
		case f == "planned":
			out = append(out, planned...)
		case f == "none":
		case slices.Contains(planned, f) || slices.Contains(unplanned, f):
			out = append(out, f)
		default:
			return nil, fmt.Errorf("fault %q: want all, planned, none, or some of %s", name, append(slices.Clone(planned), unplanned...))
		}
	}
	return out, nil
}

// An event is one thing that the nemesis does. Whom it meets depends on who is
// primary by then: 0 is the primary, 1 and 2 the others in the file's order.
type event struct {
	at    time.Duration
	fault fault
	heal  bool
	a, b  int // b: the other end of a link
	by    time.Duration
}

func (e event) String() string {
	var what string
	switch e.fault {
	case cut, slow, oneWay:
		what = fmt.Sprintf("%s %d-%d", e.fault, e.a, e.b)
	case sleep:
		what = string(sleep)
	default:
		what = fmt.Sprintf("%s %d", e.fault, e.a)
	}
	switch {
	case e.heal:
		what = "heal " + what
	case e.by > 0:
		what += fmt.Sprintf(" by %v", e.by)
	}
	return fmt.Sprintf("%v %s", e.at.Round(time.Millisecond), what)
}

// A plan is what an episode's nemesis does, in this order.
type plan []event

func (p plan) String() string {
	var out []string
	for _, e := range p {
		out = append(out, e.String())
	}
	return strings.Join(out, ", ")
}

// unplanned reports whether the plan may take the primary away without its
// consent. A link that is cut may: the primary renews its lease over it.
func (p plan) unplanned() bool {
	return slices.ContainsFunc(p, func(e event) bool {
		return slices.Contains(unplanned, e.fault) || (e.fault == cut || e.fault == oneWay) && min(e.a, e.b) == 0
	})
}

// only reports whether the plan has no other fault than f.
func (p plan) only(f fault) bool {
	return !slices.ContainsFunc(p, func(e event) bool { return e.fault != f })
}

// draw makes the plan of an episode of three regions: one to three faults, not
// more than one region away at once. The same r makes the same plan.
func draw(r *rand.Rand, faults []fault, length time.Duration) (p plan) {
	if len(faults) == 0 {
		return nil
	}
	part := func(from, to float64) time.Duration {
		return time.Duration((from + (to-from)*r.Float64()) * float64(length)).Round(time.Millisecond)
	}
	at := part(0.1, 0.3)
	for range 1 + r.IntN(3) {
		e := event{at: at, fault: faults[r.IntN(len(faults))]}
		lasts := part(0.1, 0.5)
		if e.fault == sleep { // for longer than a lease
			lasts += failover.Lease + failover.Drift
		}
		switch e.fault {
		case down, pause, switchover:
			e.a = 1 + r.IntN(2)
		case cut, slow, oneWay:
			e.a = r.IntN(2)
			e.b = e.a + 1 + r.IntN(2-e.a)
		}
		if e.fault == oneWay && r.IntN(2) == 0 {
			e.a, e.b = e.b, e.a
		}
		if e.fault == slow {
			e.by = time.Duration(100+100*r.IntN(8)) * time.Millisecond
		}
		p = append(p, e)
		next := at + part(0.05, 0.2)
		if e.fault != switchover {
			mend := e
			mend.heal, mend.at, mend.by = true, at+lasts, 0
			p = append(p, mend)
			if e.b == 0 && e.fault != oneWay { // a region was away
				next = mend.at + part(0, 0.1)
			}
		}
		if at = next; at > length*4/5 {
			break
		}
	}
	slices.SortStableFunc(p, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return p
}
