package server

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"meridian"
	"meridian/config"
	"meridian/internal/wan"
	"meridian/postgres/failover"
	"meridian/topology"
)

// Facts that a node tells of itself, by which others draw the map.
const (
	factReady   = "ready"    // "1" once every part of the node is
	factReturns = "returns"  // "1" while it stops for its next process, and until that is ready
	factLag     = "lag_ms"   // how far its standby is behind
	factPG      = "postgres" // what keeps its PostgreSQL from taking connections; "" if it takes them
	factClock   = "clock"    // its CLOCK_BOOTTIME in nanoseconds, and which start of the node it is
)

// A verdict is what this node holds of another.
type verdict struct {
	alive   bool
	returns bool // it is being started again, and said so
	why     string
	facts   map[string]string
}

// A view is all that a map is drawn from.
type view struct {
	file     *config.File
	phases   map[meridian.Region]phase // of regions that join or leave
	desired  desired
	verdicts map[string]verdict // by node
	rtts     []topology.Link    // measured, by place
}

// draw returns the map that v shows. It is a pure function of v; the caller
// numbers and dates the map.
func draw(v view) *topology.Snapshot {
	s := &topology.Snapshot{Domain: v.file.Domain}
	primary := v.primary()
	for _, n := range v.file.Nodes {
		if n.Has(config.RoleRegion) {
			s.Regions = append(s.Regions, v.region(n, primary))
		}
	}
	for _, n := range v.file.Nodes {
		if n.Has(config.RoleEdge) {
			alive, why := v.health(n.Name)
			if v.phases[n.Region] == leaving { // who still knows its address is served
				alive, why = false, "leaves; "+why
			}
			s.Edges = append(s.Edges, topology.Edge{
				Name: n.Region, Node: n.Name, Healthy: alive, Why: why,
				HTTPS: netip.AddrPortFrom(n.Address, n.Ports.HTTPS), HTTP: netip.AddrPortFrom(n.Address, n.Ports.HTTP),
			})
		}
	}
	for _, c := range v.file.Clients {
		for _, p := range c.Prefixes {
			s.Clients = append(s.Clients, topology.Clients{Prefix: p, Place: c.Place})
		}
	}
	s.Links = v.links()
	return s
}

// primary returns where the writes go: what the store says, or before it said
// anything, what the file says.
func (v view) primary() failover.Record {
	if theirs(v.file) {
		return v.foreignPrimary()
	}
	if v.file.Database != nil {
		if r, ok := v.desired.primary[v.file.Database.Name]; ok {
			return r
		}
	}
	return failover.Record{Region: v.file.Primary()}
}

func (v view) region(n config.Node, primary failover.Record) topology.Region {
	alive, why := v.health(n.Name)
	r := topology.Region{
		Name: n.Region, Node: n.Name, Healthy: alive, Why: why, Returns: !alive && v.verdicts[n.Name].returns,
		Primary: n.Region == primary.Region, Gateway: netip.AddrPortFrom(n.Address, n.Ports.Gateway),
	}
	if _, out := v.desired.drained[n.Region]; out {
		r.Drained, r.Why = true, "drained by an operator; "+why
	}
	if doing := v.verdicts[n.Name].facts[factPG]; alive && doing != "" {
		then := "reads cross to the primary"
		if r.Primary {
			then = "statements wait for it"
		}
		r.Why = "its PostgreSQL " + doing + ", " + then + "; " + why
	}
	r.ReplayLag = v.lag(n.Name, factLag)
	for _, name := range standbysOf(v.file, n.Region) {
		ok, why := v.health(name)
		r.Standbys = append(r.Standbys, topology.Standby{Node: name, Healthy: ok, Why: why, ReplayLag: v.lag(n.Name, factLagOf(name))})
	}
	switch v.phases[n.Region] {
	case joining:
		r.Healthy, r.Why = false, "joins; "+r.Why
	case leaving:
		r.Drained, r.Why = true, "leaves; "+r.Why
	}
	if r.Primary {
		r.Term, r.ReplayLag = primary.Term, 0
	}
	return r
}

// lag returns what a node tells of a standby, -1 if it does not say.
func (v view) lag(node, fact string) time.Duration {
	ms, err := strconv.ParseInt(v.verdicts[node].facts[fact], 10, 64)
	if err != nil {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}

// factLagOf is the fact by which a region's node tells how far one of its further
// standbys is behind.
func factLagOf(standby string) string { return factLag + " " + standby }

// health says whether a node can do its work: it answers, and says that all of
// its parts are up.
func (v view) health(node string) (bool, string) {
	d, known := v.verdicts[node]
	switch {
	case !known:
		return false, "not heard from yet"
	case d.returns && d.facts[factReady] != "1":
		return false, "it is being started again: " + d.why
	case !d.alive:
		return false, d.why
	case d.facts[factReady] != "1":
		return false, "it is starting: " + d.why
	}
	return true, d.why
}

// links returns the round trip between all places of the file: as measured,
// and where nothing was measured, as the matrix or the distance predicts.
func (v view) links() (out []topology.Link) {
	measured := map[[2]meridian.Region]bool{}
	for _, l := range v.rtts {
		measured[[2]meridian.Region{l.From, l.To}] = true
		out = append(out, l)
	}
	places := v.places()
	for _, a := range places {
		for _, b := range places {
			if a == b || measured[[2]meridian.Region{a, b}] || measured[[2]meridian.Region{b, a}] {
				continue
			}
			out = append(out, topology.Link{From: a, To: b, RTT: predicted(v.file, a, b)})
		}
	}
	return out
}

func (v view) places() (out []meridian.Region) {
	seen := map[meridian.Region]bool{}
	add := func(r meridian.Region) {
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	for _, n := range v.file.Nodes {
		add(n.Region)
	}
	for _, c := range v.file.Clients {
		add(c.Place)
	}
	return out
}

// predicted returns the round trip between two places that the matrix or the
// distance predicts.
func predicted(f *config.File, a, b meridian.Region) time.Duration {
	p50, _ := simulated(f, a, b)
	return p50
}

// simulated returns the median and the 90th percentile of the round trip
// between two places, as the matrix or the distance gives them.
func simulated(f *config.File, a, b meridian.Region) (p50, p90 time.Duration) {
	pa, okA := f.Place(a)
	pb, okB := f.Place(b)
	if !okA || !okB || a == b {
		return 0, 0
	}
	return wan.RTT(pa, pb)
}

// nearest returns the region that an edge at a place sends requests to while
// nothing fails: the nearest of those that serve, or "" where none is known.
func nearest(s *topology.Snapshot, place meridian.Region) (best meridian.Region) {
	var least time.Duration
	for _, r := range s.Serving() {
		if rtt, ok := s.RTT(place, r.Name); ok && (best == "" || rtt < least) {
			best, least = r.Name, rtt
		}
	}
	return best
}

// nodeOf returns the node that plays role at a place.
func nodeOf(f *config.File, role config.Role, place meridian.Region) (config.Node, error) {
	for _, n := range f.Nodes {
		if n.Has(role) && n.Region == place {
			return n, nil
		}
	}
	return config.Node{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("no node has the role %s in %s", role, place))
}
