package dns

import (
	"slices"

	"meridian"
	"meridian/dns/steer"
	"meridian/dns/zone"
	"meridian/topology"
)

// A view is all that an answer depends on. It never changes.
type view struct {
	zone   *zone.Zone
	snap   *topology.Snapshot
	places *steer.Places
	texts  func(name string) []string // see Deps.Texts; may be nil
	alpn   []string                   // what edges speak
}

// look returns the view of the newest snapshot. Reading it costs a query two
// loads of a pointer; the one that finds the map redrawn pays for the new view.
func (s *Server) look() *view {
	snap := s.deps.Map.Now()
	old := s.view.Load()
	if old.snap == snap {
		return old
	}
	v := &view{zone: s.zone, snap: snap, places: old.places, texts: old.texts, alpn: old.alpn}
	if !slices.Equal(snap.Clients, old.snap.Clients) {
		v.places = steer.NewPlaces(snap.Clients)
	}
	s.view.Store(v)
	return v
}

// A route is where the askers of a place are sent.
type route struct {
	edge, region       meridian.Region
	edgeWhy, regionWhy string
}

// routes returns the route of each place that has clients, and of askers at an
// unknown place, "".
func (v *view) routes() map[meridian.Region]route {
	out := map[meridian.Region]route{"": v.route("")}
	for _, c := range v.snap.Clients {
		if _, ok := out[c.Place]; !ok {
			out[c.Place] = v.route(c.Place)
		}
	}
	return out
}

func (v *view) route(place meridian.Region) (r route) {
	if e, ok := steer.Edge(v.snap, place, func(topology.Edge) bool { return true }); ok {
		r.edge, r.edgeWhy = e.To.Name, e.Why
	}
	if g, ok := steer.Region(v.snap, place); ok {
		r.region, r.regionWhy = g.To.Name, g.Why
	}
	return r
}
