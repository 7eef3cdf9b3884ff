// Package topology is the map that hops read: which regions and edges there
// are, which are healthy, how far they are from each other, and where the
// primary is. It holds results only; package server draws the map from the
// store, the probes and the config.
package topology

import (
	"net/netip"
	"sync/atomic"
	"time"

	"meridian"
)

// A Snapshot is the world as one node knows it at one instant. It is never
// changed after it was published: a new one replaces it.
type Snapshot struct {
	Domain  string
	Version uint64    // counts up on each node; of no meaning between nodes
	At      time.Time // when it was drawn
	Regions []Region  // in the order of the config
	Edges   []Edge    // in the order of the config
	Clients []Clients // where callers are, by address
	Links   []Link    // measured round trips between places
}

// A Region is one region of the API.
type Region struct {
	Name    meridian.Region
	Node    string // the node that serves it
	Primary bool   // its PostgreSQL takes the writes
	Term    uint64 // of the primary; 0 elsewhere
	Healthy bool
	Returns bool   // it is not healthy, and said that its node is being started again
	Drained bool   // an operator took it out of steering
	Why     string // the reason for Healthy and Drained, for people

	Gateway   netip.AddrPort // public gateway, port 9443
	ReplayLag time.Duration  // of its standby; 0 on the primary, -1 if unknown
	Standbys  []Standby      // beside its own PostgreSQL
}

// A Standby is a further PostgreSQL of a region, which carries reads.
type Standby struct {
	Node      string
	Healthy   bool
	Why       string
	ReplayLag time.Duration // behind the primary; -1 if unknown
}

// An Edge is one door.
type Edge struct {
	Name    meridian.Region // of the place where it stands
	Node    string
	Healthy bool
	Why     string
	HTTPS   netip.AddrPort
	HTTP    netip.AddrPort
}

// Clients says at which place the callers of a network are.
type Clients struct {
	Prefix netip.Prefix
	Place  meridian.Region
}

// A Link is the round trip from one place to another, as measured, or as the
// matrix or the distance predicts it where nothing was measured yet.
type Link struct {
	From, To meridian.Region
	RTT      time.Duration
	Measured bool
}

// RTT returns the round trip between two places in either direction of the
// link, and whether it is known. Within a place it is 0.
func (s *Snapshot) RTT(a, b meridian.Region) (time.Duration, bool) {
	if a == b {
		return 0, true
	}
	var best *Link
	for i, l := range s.Links {
		if l.From == a && l.To == b {
			best = &s.Links[i]
			break
		}
		if l.From == b && l.To == a {
			best = &s.Links[i]
		}
	}
	if best == nil {
		return 0, false
	}
	return best.RTT, true
}

// Region returns the region of that name.
func (s *Snapshot) Region(name meridian.Region) (Region, bool) {
	for _, r := range s.Regions {
		if r.Name == name {
			return r, true
		}
	}
	return Region{}, false
}

// Primary returns the primary region.
func (s *Snapshot) Primary() (Region, bool) {
	for i := range s.Regions {
		if s.Regions[i].Primary {
			return s.Regions[i], true
		}
	}
	return Region{}, false
}

// Serving returns the regions that requests may be sent to: the healthy ones
// that are not drained; failing that the healthy ones; failing that all of
// them, since an empty answer helps nobody (guarantee 8).
func (s *Snapshot) Serving() []Region {
	keep := func(ok func(Region) bool) (out []Region) {
		for _, r := range s.Regions {
			if ok(r) {
				out = append(out, r)
			}
		}
		return out
	}
	if out := keep(func(r Region) bool { return r.Healthy && !r.Drained }); len(out) > 0 {
		return out
	}
	if out := keep(func(r Region) bool { return r.Healthy }); len(out) > 0 {
		return out
	}
	return s.Regions
}

// Doors returns the healthy edges, or all of them if none is (guarantee 8).
func (s *Snapshot) Doors() (out []Edge) {
	for _, e := range s.Edges {
		if e.Healthy {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return s.Edges
	}
	return out
}

// A Map hands out the newest Snapshot. The zero Map is empty and ready to use;
// its methods may be called by many goroutines at once.
type Map struct{ now atomic.Pointer[Snapshot] }

// Now returns the newest snapshot, never nil.
func (m *Map) Now() *Snapshot {
	if s := m.now.Load(); s != nil {
		return s
	}
	return &Snapshot{}
}

// Publish makes s the newest snapshot. The caller must not change it again.
func (m *Map) Publish(s *Snapshot) { m.now.Store(s) }
