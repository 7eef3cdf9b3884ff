package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian"
	"meridian/backbone"
	"meridian/client"
	"meridian/config"
	"meridian/internal/leash"
	"meridian/postgres/failover"
	"meridian/store"
)

// errRemoved ends a node that left the world with its region.
var errRemoved = errors.New("this node was removed from the world")

// goodbye is how long, beyond the TTL of DNS answers, a region that leaves
// still takes what is sent to it.
const goodbye = 3 * time.Second

// world returns the node's file as the newest roster has it.
func (n *node) world() *config.File { return n.inForce.Load().file }

// counted returns the regions that count.
func (n *node) counted() []meridian.Region { return n.inForce.Load().roster.counted() }

// phaseOf says whether a region joins or leaves.
func (n *node) phaseOf(r meridian.Region) phase { return n.inForce.Load().roster.Phases[r] }

// An inForce is a roster, and the file as it has it.
type inForce struct {
	roster roster
	file   *config.File
	rev    int64 // of the store; 0: it says nothing
}

// enlist makes the roster of the store the one in force, unless this node's
// file says something else.
func (n *node) enlist(v *store.View) {
	now, rev := rosterIn(v, rosterOf(n.file, n.cfg.Start), n.log)
	old := n.inForce.Load()
	if rev == old.rev {
		return
	}
	n.inForce.Store(&inForce{now, now.in(n.file), rev})
	n.meet(now)
	if r, p := now.moves(); r != "" || len(now.Regions) != len(old.roster.Regions) {
		n.log.Info("regions", "are", names(regionsIn(now)), "of", r, "phase", string(p))
	}
	if _, ok := nodeNamed(now.Nodes, n.self.Name); !ok {
		n.leash.Report(leash.Report{Gone: true})
		n.end(errRemoved)
	}
}

// An entry is what rosterIn reads of a store.View.
type entry interface {
	Get(key string) (store.Entry, bool)
}

// rosterIn returns the roster that holds for a node with a file, and the
// revision of the store that says so: 0 where it says nothing.
func rosterIn(v entry, file roster, log logger) (roster, int64) {
	e, ok := v.Get(rosterKey)
	if !ok {
		return file, 0
	}
	var r roster
	if err := json.Unmarshal(e.Value, &r); err != nil {
		log.Error("the roster cannot be read; this node goes by its file", "key", rosterKey, "why", err.Error())
		return file, 0
	}
	if !r.over(file) {
		file.Gone, file.Left = r.Gone, r.Left // until they come back
		for _, x := range file.Regions {
			file.Left = without(file.Left, x.Name)
		}
		for _, x := range file.Nodes {
			file.Gone = without(file.Gone, x.Name)
		}
		return file, e.Rev
	}
	return r, e.Rev
}

// A logger is what rosterIn says a damaged entry to.
type logger interface{ Error(string, ...any) }

// meet makes those whom this node links to and watches be those of a roster.
func (n *node) meet(r roster) {
	var peers []backbone.Peer
	var others []string
	for _, o := range r.Nodes {
		peers = append(peers, backbone.Peer{Node: o.Name, Place: o.Region, Addr: o.Backbone.String()})
		others = append(others, o.Name)
	}
	n.backbone.SetPeers(peers, r.Gone)
	n.prober.SetPeers(others)
	f := r.in(n.file)
	switch s := n.store.(type) {
	case relaying:
		s.SetNames(seatNames(f))
		s.SetRelays(n.relays(f))
	case *store.Follower:
		s.SetRelays(n.relays(f))
	}
}

// Joining is what a file says of a region that is to join.
func Joining(f *config.File, region meridian.Region) (client.Join, error) {
	r := rosterOf(f, "")
	if len(f.Nodes) == 0 {
		return client.Join{}, refusal(meridian.Invalid, "%s names no nodes; expected the one of %s", f.Path, region)
	}
	return client.Join{Region: string(region), Roster: mustJSON(r), Outline: config.Outline(f)}, nil
}

// join lets a region into the world. It returns once that is asked for; the
// status shows when the region counts.
func (n *node) join(ctx context.Context, asked client.Join) (json.RawMessage, error) {
	if theirs(n.file) {
		return nil, errTheirs
	}
	w := wish{Region: meridian.Region(asked.Region), Outline: asked.Outline}
	if err := json.Unmarshal(asked.Roster, &w.File); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("region %s: %w", asked.Region, err))
	}
	now, err := n.enroll(ctx, func(r roster) (roster, error) {
		out, err := r.join(w, config.Outline(n.file), n.cfg.Start)
		return out, err
	})
	return mustJSON(now), err
}

// regions returns the roster in force.
func (n *node) regions() json.RawMessage { return mustJSON(n.inForce.Load().roster) }

// leave takes a region out of the world. It returns once that is asked for; the
// status shows when the region is gone.
func (n *node) leave(ctx context.Context, region meridian.Region) error {
	if theirs(n.file) {
		return errTheirs
	}
	_, err := n.enroll(ctx, func(r roster) (roster, error) { return r.leave(region, n.standing(r)) })
	return err
}

// enroll replaces the roster by what change makes of it, and returns that.
func (n *node) enroll(ctx context.Context, change func(roster) (roster, error)) (roster, error) {
	for range 3 {
		var rev int64
		view := n.store.Now()
		now, _ := rosterIn(view, rosterOf(n.file, n.cfg.Start), n.log)
		if e, ok := view.Get(rosterKey); ok {
			rev = e.Rev
		}
		next, err := change(now)
		if err != nil {
			return now, err
		}
		if b := mustJSON(next); string(b) != string(mustJSON(now)) {
			if ok, err := n.store.CompareAndSwap(ctx, rosterKey, rev, b); err != nil {
				return now, fmt.Errorf("change the regions: %w", err)
			} else if !ok {
				continue
			}
		}
		return next, nil
	}
	return roster{}, meridian.WithKind(meridian.Unavailable, errors.New("the regions kept changing; ask again"))
}

// standing gathers what a roster's change goes by.
func (n *node) standing(r roster) standing {
	s := standing{database: n.file.Database != nil, self: n.self.Name, ready: true, streams: true}
	if s.database {
		db := n.file.Database.Name
		s.record, _ = n.promiseOf(db)
		s.asked = s.record.Promise.Now
		view := n.store.Now()
		each(view, wishPrefix+db, n.log, func(_ string, d meridian.Durability) { s.asked = d })
		each(view, movePrefix+db, n.log, func(_ string, m failover.Move) {
			if m.Term == s.record.Term {
				s.moving = m.To
			}
		})
	}
	region, _ := r.moves()
	picture := n.picture()
	for _, o := range r.at(region) {
		ok, why := picture.health(o.Name)
		if !ok && s.ready {
			s.ready, s.why = false, why
		}
		if o.Has(config.RoleRegion) {
			s.streams = picture.verdicts[o.Name].facts[factLag] != ""
		}
	}
	return s
}

// voting reports whether a node of a region votes on the store, or may.
func (n *node) voting(ctx context.Context, r roster, region meridian.Region) bool {
	ctx, cancel := context.WithTimeout(ctx, applyBudget)
	defer cancel()
	var seats []store.Seat
	var err error
	switch s := n.store.(type) {
	case relaying:
		seats, err = s.Members(ctx)
	case *store.Follower:
		seats, err = s.Members(ctx)
	}
	return err != nil || slices.ContainsFunc(r.at(region), func(o config.Node) bool {
		return slices.ContainsFunc(seats, func(s store.Seat) bool { return s.Peer == store.PeerURL(memberName(o.Name)) })
	})
}

// keepRegions takes what joins and leaves on to its next step, until ctx is
// over. Each control node does; the store lets one of them win.
func (n *node) keepRegions(ctx context.Context, ready func()) error {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	ready()
	var k usher
	for {
		watch := n.store.Watch()
		r := n.inForce.Load().roster
		if k.watch(r); k.region != "" {
			n.usher(ctx, r, &k)
		}
		n.forget(ctx, r)
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-tick.C:
		}
	}
}

// An usher is what a node has seen of the region that joins or leaves.
type usher struct {
	region meridian.Region // "": none does
	phase  phase
	since  time.Time // that it leaves
	said   string    // why it is where it is
}

// watch looks at a roster.
func (k *usher) watch(r roster) {
	k.region, k.phase = r.moves()
	if k.phase != leaving {
		k.since = time.Time{}
	} else if k.since.IsZero() {
		k.since = time.Now()
	}
}

// usher takes the region that joins or leaves on to its next step, if that is due.
func (n *node) usher(ctx context.Context, r roster, k *usher) {
	s := n.standing(r)
	s.drained = time.Since(k.since) >= n.file.DNS.TTL+goodbye
	s.votes = k.phase == leaving && s.drained && n.voting(ctx, r, k.region)
	_, due, why := r.next(s, n.cfg.Start)
	if why != k.said {
		n.log.Info("regions", "of", k.region, "phase", string(k.phase), "why", why)
		k.said = why
	}
	if !due {
		return
	}
	_, err := n.enroll(ctx, func(now roster) (roster, error) {
		if is, at := now.moves(); is != k.region || at != k.phase {
			return now, nil // another was faster
		}
		out, _, _ := now.next(s, n.cfg.Start)
		return out, nil
	})
	if err != nil && ctx.Err() == nil {
		n.log.Warn("a region stays as it is", "of", k.region, "why", err.Error())
	}
}

// forget deletes what the store keeps of regions and nodes that left.
func (n *node) forget(ctx context.Context, r roster) {
	var keys []string
	for _, region := range r.Left {
		keys = append(keys, drainPrefix+string(region))
		if n.file.Database != nil {
			db := n.file.Database.Name
			keys = append(keys, reportPrefix+db+"/"+string(region), markPrefix+db+"/"+string(region))
		}
	}
	view := n.store.Now()
	keys = append(keys, forgottenLogs(view, r.Gone)...)
	each(view, edgeKeyPrefix, n.log, func(id string, k edgeKeyRecord) {
		if slices.Contains(r.Gone, k.Node) {
			keys = append(keys, edgeKeyPrefix+id)
		}
	})
	for _, key := range keys {
		if _, ok := view.Get(key); !ok {
			continue
		}
		if err := n.store.Delete(ctx, key); err != nil && ctx.Err() == nil {
			n.log.Warn("the store keeps what belonged to a region that left", "key", key, "why", err.Error())
		}
	}
}
