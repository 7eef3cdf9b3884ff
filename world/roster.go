package world

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"meridian"
	"meridian/config"
)

// A Roster is which regions and nodes a running world has.
type Roster struct {
	Regions []config.Region   `json:"regions"`
	Edges   []meridian.Region `json:"edges"`
	Nodes   []config.Node     `json:"nodes"`
	Clients []config.Clients  `json:"clients"`
}

// Grow returns the file f, which has a region more than the world of plan, with
// that world's nodes and those that the region brings: its own, and an edge if f
// has one there. It is a pure function. What f has else is for the world to judge.
func Grow(plan, f config.File, region meridian.Region) (config.File, error) {
	out := f
	out.Nodes, out.Clients, out.PKI = slices.Clone(plan.Nodes), slices.Clone(plan.Clients), plan.PKI
	at := slices.IndexFunc(f.Regions, func(r config.Region) bool { return r.Name == region })
	if at < 0 ||
		slices.ContainsFunc(plan.Regions, func(r config.Region) bool { return r.Name == region }) {
		return out, nil
	}
	place, block := byte(0), byte(0)
	for _, n := range plan.Nodes {
		ip := n.Address.As4()
		if block = ip[1]; n.Region == region && !n.Has(config.RoleControl) {
			place = ip[2]
		}
	}
	if place == 0 {
		for _, n := range plan.Nodes {
			place = max(place, n.Address.As4()[2])
		}
		if place++; place > maxPlaces {
			return out, meridian.WithKind(meridian.Invalid, fmt.Errorf("%d places; a world on one machine has at most %d", place, maxPlaces))
		}
		out.Clients = append(out.Clients, config.Clients{Place: region, Prefixes: []netip.Prefix{ClientsOf(int(place))}})
	}
	out.Nodes = append(out.Nodes, node(string(region), region, int(block), int(place), 1, config.RoleRegion))
	out.Nodes = append(out.Nodes, standbys(f.Regions[at], int(block), int(place))...)
	if _, has := plan.Node(EdgeNode(region)); !has && slices.Contains(f.Edges, region) {
		out.Nodes = append(out.Nodes, node(EdgeNode(region), region, int(block), int(place), 2, config.RoleEdge))
	}
	return out, nil
}

// become makes the nodes be those of a roster: it starts those that came, and
// ends those that are gone. It returns without waiting for who starts.
func (s *Supervisor) become(r Roster) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	old := s.planned()
	plan := old
	plan.Regions, plan.Edges, plan.Nodes, plan.Clients = r.Regions, r.Edges, r.Nodes, r.Clients
	if err := certificates(&plan); err != nil {
		return err
	}
	if err := writePlan(s.planFile, &plan); err != nil {
		return err
	}
	var came []string
	s.mu.Lock()
	s.plan = plan
	for _, n := range plan.Nodes {
		if _, had := old.Node(n.Name); !had {
			came = append(came, n.Name)
			s.children[n.Name] = &child{node: n.Name, launch: s.launcher(n.Name)}
		}
	}
	s.mu.Unlock()
	for _, n := range old.Nodes {
		if _, has := plan.Node(n.Name); !has {
			c := s.nodeProcess(n.Name)
			c.set(gone)
			c.stop(stopGrace)
		}
	}
	for _, name := range came {
		s.begin(func() {
			if err := s.start(context.Background(), name); err != nil {
				s.report(Progress{Node: name, Note: err.Error()})
			}
		})
	}
	return nil
}

// Become makes the nodes of a running world be those of a roster.
func (r *Remote) Become(ctx context.Context, roster json.RawMessage) error {
	_, err := r.call(ctx, "POST", "/roster", roster)
	return err
}
