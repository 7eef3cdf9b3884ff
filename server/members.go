package server

import (
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/config"
)

// voters is how many regions, at most, vote on the store. More would only make
// each write wait for more of them.
const voters = 3

// members returns the nodes that are members of the store: the primary's
// region and the first others of the file. Of two regions only the primary's
// votes, unless there is a witness: two voters would stop when either is lost.
func (n *node) members() []config.Node { return membersOf(n.file) }

func membersOf(f *config.File) []config.Node {
	var regions []config.Node
	for _, r := range slices.SortedStableFunc(slices.Values(f.Regions), primaryFirst) {
		if o, err := nodeOf(f, config.RoleRegion, r.Name); err == nil {
			regions = append(regions, o)
		}
	}
	switch {
	case len(regions) >= voters:
		return regions[:voters]
	case len(regions) == 2 && f.Witness != "":
		if o, err := nodeOf(f, config.RoleWitness, f.Witness); err == nil {
			return append(regions, o)
		}
		return regions[:1]
	case len(regions) == 2:
		return regions[:1]
	}
	return regions
}

// memberName is a node's name as etcd's socket may bear it.
func memberName(node string) string { return strings.ReplaceAll(node, "/", ".") }

// nearestFirst orders nodes by their predicted distance from this one.
func (n *node) nearestFirst(nodes []string) []string {
	out := slices.Clone(nodes)
	slices.SortStableFunc(out, func(a, b string) int {
		return int(predicted(n.world(), n.self.Region, n.placeOf(a)) - predicted(n.world(), n.self.Region, n.placeOf(b)))
	})
	return out
}

// heartbeat returns how often the store's leader is heard: half the largest
// round trip between members. A lost leader is missed after ten to twenty of
// them, and a lost primary is replaced no sooner.
func (n *node) heartbeat() time.Duration {
	most := 200 * time.Millisecond
	for _, a := range n.members() {
		for _, b := range n.members() {
			most = max(most, predicted(n.world(), a.Region, b.Region))
		}
	}
	return min(most/2, 250*time.Millisecond)
}

// leaderFor returns the member that should lead the store while the primary is
// in a region: the nearest to it, since each renewal and each move is a write
// from there.
func (n *node) leaderFor(primary meridian.Region) string {
	var best string
	var least time.Duration
	for _, o := range n.members() {
		if d := predicted(n.world(), primary, o.Region); best == "" || o.Region == primary || d < least {
			best, least = memberName(o.Name), d
		}
		if o.Region == primary {
			break
		}
	}
	return best
}

func primaryFirst(a, b config.Region) int {
	switch {
	case a.Primary == b.Primary:
		return 0
	case a.Primary:
		return -1
	}
	return 1
}
