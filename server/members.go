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

// membersOf returns the nodes that found the store: the primary's region and the
// first others of the file. Of two regions only the primary's votes, unless there
// is a witness: two voters would stop when either is lost.
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

// seatable reports whether a node may be a member of the store.
func seatable(n config.Node) bool { return n.Has(config.RoleRegion) || n.Has(config.RoleWitness) }

// seatNames names all who may be members.
func seatNames(f *config.File) (out []string) {
	for _, o := range f.Nodes {
		if seatable(o) {
			out = append(out, memberName(o.Name))
		}
	}
	return out
}

// members returns the nodes that vote on the store now, as far as this node
// knows.
func (n *node) members() (out []config.Node) {
	m, ok := n.store.(relaying)
	if !ok {
		return membersOf(n.file)
	}
	votes := m.Votes()
	for _, o := range n.world().Nodes {
		if slices.Contains(votes, memberName(o.Name)) {
			out = append(out, o)
		}
	}
	return out
}

// wantedVotes names the members that should vote, of which some do now.
func (n *node) wantedVotes(now []string) []string {
	r := n.inForce.Load().roster
	primary := n.world().Primary()
	if n.file.Database != nil {
		if rec, ok := n.promiseOf(n.file.Database.Name); ok {
			primary = rec.Region
		}
	}
	return votesOf(r, n.file.Witness, primary, now)
}

// votesOf says who should vote in a world with the regions of r: who does already,
// as far as they count, and then the others in their order. It is an odd number.
func votesOf(r roster, witness, primary meridian.Region, now []string) []string {
	var can, out []string
	home, third := "", ""
	for _, o := range r.Nodes {
		name := memberName(o.Name)
		switch {
		case o.Has(config.RoleRegion) && slices.Contains(r.counted(), o.Region):
			can = append(can, name)
			if o.Region == primary {
				home = name
			}
		case o.Has(config.RoleWitness) && o.Region == witness:
			third = name
		}
	}
	slices.SortStableFunc(can, func(a, b string) int { // who votes, and the primary's, first
		rank := func(x string) int {
			switch {
			case slices.Contains(now, x):
				return 0
			case x == home:
				return 1
			}
			return 2
		}
		return rank(a) - rank(b)
	})
	switch {
	case len(can) >= voters:
		out = can[:voters]
	case len(can) == 2 && third != "":
		out = append(can, third)
	case len(can) == 2 && slices.Contains(now, can[1]): // both vote: the primary's shall
		out = []string{home}
	case len(can) > 0:
		out = can[:1]
	}
	if slices.Contains(out, "") {
		return nil
	}
	return out
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
// round trip between those who may be members. A lost leader is missed after ten to twenty of
// them, and a lost primary is replaced no sooner.
func (n *node) heartbeat() time.Duration {
	most := 200 * time.Millisecond
	for _, a := range n.world().Nodes {
		for _, b := range n.world().Nodes {
			if !seatable(a) || !seatable(b) {
				continue
			}
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
