package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quorum is the share of observers, in percent, that must be exceeded for a
// node to be alive. It is low so that a partition of some observers does not
// take a node down (Route 53's rule).
const quorum = 18

// A View is what one node has heard when it judges.
type View struct {
	Now     time.Time
	Fresh   time.Duration // reports older than this have no vote
	Nodes   []string      // whom to judge
	Reports []Heard
}

// A Heard is a report and when it was heard.
type Heard struct {
	Report
	At    time.Time
	Asked time.Duration // by CLOCK_BOOTTIME, when it was asked for
}

// A Verdict says whether a node is alive.
type Verdict struct {
	Alive bool
	Why   string
	Facts map[string]string // as the node last told; nil if it never did
	RTT   time.Duration     // from here; 0 if never measured
	At    time.Time         // when the node was last heard
	Asked time.Duration     // of this node's own sight: by CLOCK_BOOTTIME, when it asked for Facts
}

// Judge returns who is alive in the eyes of all. It is a pure function of v.
//
// A node is alive if more than 18 % of those who looked at it, and were heard
// lately, see it; or if nobody looked. If nobody at all is seen alive,
// everybody is taken for alive: an empty answer helps no one (R16).
func Judge(v View) map[string]Verdict {
	out := make(map[string]Verdict, len(v.Nodes))
	anyone := false
	for _, n := range v.Nodes {
		j, seen := v.judge(n)
		out[n] = j
		anyone = anyone || j.Alive && seen
	}
	for n, j := range out {
		if !anyone && !j.Alive {
			j.Alive, j.Why = true, "taken for alive, as no node looks alive: "+j.Why
			out[n] = j
		}
	}
	return out
}

// judge returns the verdict on one node, and whether anybody sees it.
func (v View) judge(node string) (j Verdict, anybody bool) {
	var seen, looked int
	var blind []string
	for _, r := range v.Reports {
		if r.Node == node {
			j.Facts, j.At = r.Facts, r.At
		}
		s, ok := r.Sights[node]
		if r.Node == node || !ok || !s.Known || v.Now.Sub(r.At) > v.Fresh {
			continue
		}
		looked++
		if s.OK {
			seen++
		} else {
			blind = append(blind, r.Node)
		}
	}
	slices.Sort(blind)
	switch {
	case looked == 0:
		j.Alive, j.Why = true, "nobody has looked"
	case seen == looked:
		j.Alive, j.Why = true, fmt.Sprintf("seen by all %d who look", looked)
	default:
		j.Alive = seen*100 > looked*quorum
		j.Why = fmt.Sprintf("seen by %d of the %d who look, not by %s", seen, looked, strings.Join(blind, ", "))
	}
	return j, seen > 0
}
