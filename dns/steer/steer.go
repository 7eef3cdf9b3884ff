// Package steer decides where an asker should go: to which edge, and to which
// region. It is pure: the answer follows from a snapshot of the map and the
// asker's place alone, and carries its reason.
//
// It answers by measured round trips and not by a table of countries: by
// distance, one pair of places in seven is sent to the wrong region. It damps
// nothing; that is the business of those who draw the map. And it never
// answers with nothing while there is something: what looks wholly unhealthy
// is treated as wholly healthy (guarantee 8).
package steer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"meridian"
	"meridian/topology"
)

// A Choice is where an asker should go, and why.
type Choice[T topology.Edge | topology.Region] struct {
	To  T
	Why string
}

// Edge returns the healthy edge with the least latency to an asker at place,
// among those that fit. The place "" is an asker of whom nothing is known. It
// reports false only if no edge fits.
func Edge(s *topology.Snapshot, place meridian.Region, fit func(topology.Edge) bool) (Choice[topology.Edge], bool) {
	all := slices.DeleteFunc(slices.Clone(s.Edges), func(e topology.Edge) bool { return !fit(e) })
	open := (&topology.Snapshot{Edges: all}).Doors()
	var off []candidate[topology.Edge]
	for _, e := range all {
		if !e.Healthy {
			off = append(off, candidate[topology.Edge]{to: e, name: e.Name, why: reason(e.Why, "not healthy")})
		}
	}
	var on []candidate[topology.Edge]
	for _, e := range open {
		on = append(on, candidate[topology.Edge]{to: e, name: e.Name})
	}
	return nearest(s, place, "edge", on, off)
}

// Region returns the serving region with the least latency to an asker at
// place, as Edge does for edges.
func Region(s *topology.Snapshot, place meridian.Region) (Choice[topology.Region], bool) {
	var on, off []candidate[topology.Region]
	for _, r := range s.Regions {
		switch {
		case !r.Healthy:
			off = append(off, candidate[topology.Region]{to: r, name: r.Name, why: reason(r.Why, "not healthy")})
		case r.Drained:
			off = append(off, candidate[topology.Region]{to: r, name: r.Name, why: reason(r.Why, "drained")})
		}
	}
	for _, r := range s.Serving() {
		on = append(on, candidate[topology.Region]{to: r, name: r.Name})
	}
	return nearest(s, place, "region", on, off)
}

// A candidate is an edge or a region, and how far it is.
type candidate[T any] struct {
	to    T
	name  meridian.Region
	why   string // why it may not be chosen
	rtt   time.Duration
	known bool
}

// nearest chooses among on. Those in off serve the reason only: that a nearer
// one was passed over is what an operator asks about first.
func nearest[T topology.Edge | topology.Region](s *topology.Snapshot, place meridian.Region, noun string, on, off []candidate[T]) (Choice[T], bool) {
	if len(on) == 0 {
		return Choice[T]{}, false
	}
	from, preface := standpoint(s, place)
	on, off = measure(s, from, on), measure(s, from, off)
	best := on[0]
	why := fmt.Sprintf("%s%s is nearest to %s, %s", preface, best.name, from, distance(best))
	switch {
	case len(on) == 1 && !best.known:
		why = fmt.Sprintf("%s%s is the only %s", preface, best.name, noun)
	case !best.known:
		why = fmt.Sprintf("%s%s is the first %s; how far any is from %s is not known", preface, best.name, noun, from)
	case len(on) > 1:
		why += fmt.Sprintf("; next is %s, %s", on[1].name, distance(on[1]))
	}
	for _, o := range off {
		switch {
		case slices.ContainsFunc(on, func(c candidate[T]) bool { return c.name == o.name }):
			return Choice[T]{best.to, why + fmt.Sprintf("; every %s looks unfit, so all are used: %s: %s", noun, o.name, o.why)}, true
		case o.known && (!best.known || o.rtt < best.rtt):
			return Choice[T]{best.to, why + fmt.Sprintf("; passed over %s, %s: %s", o.name, distance(o), o.why)}, true
		}
	}
	return Choice[T]{best.to, why}, true
}

// standpoint returns the place to measure from. An asker at no known place is
// treated as if it asked from the primary's, or else from the first edge's.
func standpoint(s *topology.Snapshot, place meridian.Region) (from meridian.Region, preface string) {
	if place != "" {
		return place, ""
	}
	if p, ok := s.Primary(); ok {
		return p.Name, "the asker's place is not known, so as from the primary: "
	}
	for _, e := range s.Edges {
		return e.Name, "the asker's place is not known, so as from the first edge: "
	}
	return "nowhere", "the asker's place is not known: "
}

// measure puts the nearest first, those at an unknown distance last, and keeps
// the config's order between equals.
func measure[T any](s *topology.Snapshot, from meridian.Region, cs []candidate[T]) []candidate[T] {
	for i := range cs {
		cs[i].rtt, cs[i].known = s.RTT(from, cs[i].name)
	}
	slices.SortStableFunc(cs, func(a, b candidate[T]) int {
		if a.known != b.known {
			if a.known {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.rtt, b.rtt)
	})
	return cs
}

func distance[T any](c candidate[T]) string {
	switch {
	case !c.known:
		return "at an unknown distance"
	case c.rtt == 0:
		return "in the same place"
	}
	return fmt.Sprintf("%.1f ms", c.rtt.Seconds()*1e3)
}

func reason(why, otherwise string) string {
	if why == "" {
		return otherwise
	}
	return why
}
