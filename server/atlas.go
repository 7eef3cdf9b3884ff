package server

import (
	"context"
	"reflect"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/identity"
	"meridian/store"
	"meridian/topology"
)

// redraw is how often the map is drawn though nothing announced a change:
// round trips and replay lags move by themselves.
const redraw = 250 * time.Millisecond

// nudge says that the map may have changed. It never blocks.
func (n *node) nudge() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// draw keeps the map, and what this node knows of keys, up to date.
func (n *node) draw(ctx context.Context, ready func()) error {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	var last *store.View
	var d desired
	for {
		watch := n.store.Watch()
		if v := n.store.Now(); v != last {
			last, d = v, interpret(v, n.log)
			n.learn(d)
			n.enlist(v)
		}
		n.publish(d)
		if ready != nil {
			ready()
			ready = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-n.changed:
		case <-tick.C:
		}
	}
}

// learn hands the keys to those who verify with them.
func (n *node) learn(d desired) {
	ring := identity.NewKeyRing(d.apiKeys)
	n.verify.SetKeys(ring)
	n.open.SetRing(ring)
	n.open.SetKeys(d.edgeKeys)
	n.tokenKeys.Store(&d.tokenKeys)
}

// publish draws the map and replaces the old one, if it says something new.
func (n *node) publish(d desired) {
	v := view{file: n.world(), phases: n.inForce.Load().roster.Phases, desired: d, verdicts: map[string]verdict{}, rtts: n.measured()}
	for name, x := range n.verdicts() {
		v.verdicts[name] = verdict{alive: x.Alive, returns: returnsOf(x), why: x.Why, facts: x.Facts}
	}
	n.mu.Lock()
	n.seen = v
	n.mu.Unlock()
	s, old := draw(v), n.atlas.Now()
	s.Version, s.At = old.Version, old.At
	if reflect.DeepEqual(s, old) {
		return
	}
	s.Version, s.At = old.Version+1, time.Now()
	n.tellChanges(old, s)
	n.atlas.Publish(s)
}

// verdicts returns this node's own sight of the others; where it answers for
// the whole world, that of all who are heard.
func (n *node) verdicts() map[string]health.Verdict {
	if n.self.Has(config.RoleControl) && !n.self.Has(config.RoleEdge) {
		return n.prober.Quorum()
	}
	return n.prober.Verdicts()
}

// measured returns the measured round trips between places: the least of
// those between their nodes.
func (n *node) measured() (out []topology.Link) {
	at := map[[2]string]int{}
	for _, l := range n.prober.Links() {
		from, to := n.placeOf(l.From), n.placeOf(l.To)
		if from == to || !l.OK {
			continue
		}
		key := [2]string{string(from), string(to)}
		if i, ok := at[key]; ok {
			out[i].RTT = min(out[i].RTT, l.RTT)
			continue
		}
		at[key] = len(out)
		out = append(out, topology.Link{From: from, To: to, RTT: l.RTT, Measured: true})
	}
	return out
}

// tellChanges logs what an operator would ask about.
func (n *node) tellChanges(old, now *topology.Snapshot) {
	for _, r := range now.Regions {
		was, known := old.Region(r.Name)
		if known && (was.Healthy != r.Healthy || was.Drained != r.Drained || was.Primary != r.Primary) {
			n.log.Info("region changed", "of", r.Name, "healthy", r.Healthy, "drained", r.Drained, "primary", r.Primary, "why", r.Why)
		}
	}
}

// picture returns what the newest map was drawn from.
func (n *node) picture() view {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen
}
