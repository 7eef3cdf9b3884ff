package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/postgres"
	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// wishPrefix is the key of the store, before a database's name, that holds the
// durability that an operator asked for.
const wishPrefix = "switch/durability/"

// applyBudget bounds one attempt at telling PostgreSQL of its standbys.
const applyBudget = 2 * time.Second

// A change is a promise on its way: the log up to target may hold commits that
// were acknowledged before the next durability was looked at.
type change struct {
	to     failover.Rule
	target meridian.LSN
	known  bool
	said   string // in the log
}

// demand returns what commits of this region's PostgreSQL must satisfy before
// their success is told, where the region is the primary's.
func (n *node) demand() postgres.Demand {
	r, _, _ := n.tenure.now()
	if r.Promise.Next == nil && r.Promise.Now == (meridian.Durability{}) {
		return postgres.Demand{} // it is asked for at each statement
	}
	return demandOf(r.Promise, n.self.Region, n.counted())
}

func demandOf(p failover.Promise, self meridian.Region, regions []meridian.Region) (d postgres.Demand) {
	for _, mode := range p.Rules() {
		if q := failover.QuorumOf(mode.Durability, self, mode.Of.Regions(regions)); q.Need > 0 {
			d.Quorums = append(d.Quorums, streaming(q))
		}
		if mode.RPO > 0 && (d.RPO == 0 || mode.RPO < d.RPO) {
			d.RPO = mode.RPO
		}
	}
	return d
}

// streaming returns q with the names by which standbys stream.
func streaming(q failover.Quorum) failover.Quorum {
	out := failover.Quorum{Need: q.Need}
	for _, r := range q.Of {
		out.Of = append(out.Of, meridian.Region(instance.Slot(r)))
	}
	return out
}

// keep makes this region's PostgreSQL, and the record if it is ours, follow
// what was promised and what an operator wishes.
func (s *steward) keep(ctx context.Context) error {
	if !s.started.Load() {
		return nil // the first migrations wait for nobody: standbys are made meanwhile
	}
	r, _, _ := s.tenure.now()
	bounded, cancel := context.WithTimeout(ctx, applyBudget)
	defer cancel()
	q := hides(r.Promise, s.self.Region, s.counted())
	if err := s.pg.Synchronous(bounded, q.Need, q.Of); err != nil {
		return err
	}
	if r.Region != s.self.Region || s.state() != failover.Primary || !s.tenure.held() {
		s.change = change{}
		s.tenure.promise(r.Promise, nil)
		return nil
	}
	if r.Promise.Next == nil {
		s.change.known = false // what is acknowledged from now on may not satisfy the next one
	}
	next := r.Promise.Become(s.wanted(r.Promise))
	if next.Next != nil && next.Equal(r.Promise) && s.holds(bounded, next.Rules()[1]) {
		next = next.Kept()
	}
	if next.Equal(r.Promise) {
		s.tenure.promise(r.Promise, nil)
		return nil
	}
	if s.change.said != next.String() {
		s.log.Info("durability", "was", r.Promise.String(), "becomes", next.String())
		s.change.said = next.String()
	}
	s.tenure.promise(r.Promise, &next)
	return nil
}

// wanted returns what commits should satisfy: the durability that an operator
// asked for last, among the regions that count now.
func (s *steward) wanted(p failover.Promise) failover.Rule {
	want := failover.Rule{Durability: p.Now, Of: failover.AmongOf(s.counted())}
	if p.Next != nil {
		want.Durability = *p.Next
	}
	each(s.store.Now(), wishPrefix+s.db, s.log, func(_ string, d meridian.Durability) { want.Durability = d })
	return want
}

// hides returns whom PostgreSQL itself waits for, and hides rows until then: it
// knows one rule at a time. The next one, if it has any, begins before it is
// said to hold.
func hides(p failover.Promise, self meridian.Region, regions []meridian.Region) (q failover.Quorum) {
	for _, mode := range p.Rules() {
		if one := failover.QuorumOf(mode.Durability, self, mode.Of.Regions(regions)); one.Need > 0 {
			q = one
		}
	}
	return q
}

// holds reports whether all that was acknowledged before this region began to
// look at a durability satisfies it by now. What was acknowledged since does.
func (s *steward) holds(ctx context.Context, rule failover.Rule) bool {
	q := failover.QuorumOf(rule.Durability, s.self.Region, rule.Of.Regions(s.counted()))
	own, at, err := s.proxy.Standbys(ctx)
	if err != nil {
		return false
	}
	if s.change.to != rule || !s.change.known {
		s.change.to, s.change.target, s.change.known = rule, own, true
	}
	return q.Need == 0 || streaming(q).Confirmed(at) >= s.change.target
}

// promiseOf returns what the store says of a database's durability.
func (n *node) promiseOf(db string) (failover.Record, bool) {
	e, ok := n.store.Now().Get(primaryPrefix + db)
	var r failover.Record
	return r, ok && json.Unmarshal(e.Value, &r) == nil
}

// setDurability asks for a durability, and waits until it is in effect.
func (n *node) setDurability(ctx context.Context, d meridian.Durability) (client.Durability, error) {
	if n.file.Database == nil {
		return client.Durability{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("this world has no database"))
	}
	if theirs(n.file) {
		return client.Durability{}, errTheirs
	}
	db := n.file.Database.Name
	r, ok := n.promiseOf(db)
	if !ok {
		return client.Durability{}, meridian.WithKind(meridian.Unavailable, fmt.Errorf("no region holds the writes yet"))
	}
	s := n.atlas.Now()
	rtt := func(to meridian.Region) time.Duration { d, _ := s.RTT(r.Region, to); return d }
	if err := config.CheckDurability(d, r.Region, n.counted(), rtt); err != nil {
		return client.Durability{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("durability %s: expected %w", d, err))
	}
	if err := n.store.Put(ctx, wishPrefix+db, mustJSON(d)); err != nil {
		return client.Durability{}, fmt.Errorf("ask for durability %s: %w", d, err)
	}
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	if !await(ctx, n.store, func() bool {
		r, _ = n.promiseOf(db)
		return r.Promise.Next == nil && r.Promise.Now == d
	}) {
		return client.Durability{}, meridian.WithKind(meridian.Timeout, fmt.Errorf("durability is %s: it changes once the primary is there, and the regions that %s waits for have confirmed what was acknowledged until now; ask for %s to undo the change", r.Promise, d, r.Promise.Now))
	}
	return client.Durability{Now: d.String()}, nil
}
