package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"meridian"
	"meridian/internal/boottime"
	"meridian/postgres"
	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// newSteward returns the steward of this region's database.
func (n *node) newSteward(pg *instance.Instance, proxy *postgres.Proxy) *steward {
	s := &steward{
		self: n.self, db: n.file.Database.Name, file: n.file, world: n.world, counted: n.counted, left: func() []meridian.Region { return n.inForce.Load().roster.Left }, pg: pg, proxy: proxy, tenure: n.tenure,
		store: n.store, changed: n.nudge, search: n.outcomes, warm: n.warm, lead: n.lead, lag: -1,
		dir: databaseIn(n.cfg.State),
		log: n.log.With("hop", "postgres", "region", string(n.self.Region)),
		alive: func(r meridian.Region) bool {
			x, ok := n.atlas.Now().Region(r)
			return ok && x.Healthy && n.phaseOf(r) == ""
		},
	}
	s.streams, s.further = newStreams(pg.Dial, n.tenure.holds, s.log), newStreams(pg.Dial, nil, s.log)
	n.tenure.fit = s.fit
	return s
}

// newTenure returns this node's sight of who may take the writes.
func (n *node) newTenure() *tenure {
	return &tenure{
		self: n.self.Region, boot: n.boot, heard: n.clocks, key: primaryPrefix + n.file.Database.Name, store: n.store, renewNow: make(chan struct{}, 1),
		fit: func() bool { return false }, log: n.log.With("hop", "postgres", "region", string(n.self.Region)),
	}
}

// confirmPatience is how long a region that was the primary when it last looked
// asks whether it still is, before it runs as that: its copy of the store may
// be old. Without an answer it may serve reads; it has no right to write.
const confirmPatience = 10 * time.Second

// claimRetry is how long a region waits before it claims a new world's record
// again.
const claimRetry = time.Second

// learn waits until the store says where the primary is, and sets the role in
// which PostgreSQL is to start. The region that the file names claims the
// record in a world that has none yet.
func (s *steward) learn(ctx context.Context, role *instance.Role, ready func()) error {
	s.fitAt.Store(int64(boottime.Now() + startPatience - unfitPatience))
	if !s.awaitRecord(ctx, role) {
		return nil
	}
	ready()
	// They run while PostgreSQL starts, too: nobody else shall take the record,
	// and a copy that was a primary's waits for whom to follow.
	var wg sync.WaitGroup
	wg.Go(func() { s.tenure.awake.Run(ctx) })
	wg.Go(func() { s.run(ctx) })
	wg.Go(func() { s.keepReady(ctx) })
	wg.Go(func() { s.keepHorizons(ctx) })
	s.tenure.run(ctx)
	wg.Wait()
	return nil
}

// awaitRecord waits for the record, and sets the role. It reports false if ctx
// ended first.
func (s *steward) awaitRecord(ctx context.Context, role *instance.Role) bool {
	patience := time.Now().Add(confirmPatience)
	for {
		watch := s.store.Watch()
		s.tenure.see(s.store.Now())
		r, _, _ := s.tenure.now()
		*role = s.roleOf(r)
		if r.Region != "" && (*role == instance.Standby || s.confirms(ctx, patience)) {
			s.log.Info("role of the database", "role", string(*role), "primary", r.Region, "term", r.Term)
			return true
		}
		retry := time.NewTimer(claimRetry)
		if s.claimsFirst(ctx) {
			retry.Reset(0)
		}
		select {
		case <-ctx.Done():
			return false
		case <-watch:
		case <-retry.C:
		}
	}
}

// roleOf returns what this region's PostgreSQL is by a record, and by its data.
func (s *steward) roleOf(r failover.Record) instance.Role {
	if r.Region == s.self.Region && !s.isStandby() {
		return instance.Primary
	}
	return instance.Standby
}

// confirms asks whether this region holds the record still. Once patience is
// over it takes its own copy's word.
func (s *steward) confirms(ctx context.Context, patience time.Time) bool {
	if s.tenure.held() || !time.Now().Before(patience) {
		return true
	}
	s.tenure.renew(ctx)
	return s.tenure.held()
}

// claimsFirst claims the record of a world that has none, where this region is
// to, and reports whether it did.
func (s *steward) claimsFirst(ctx context.Context) bool {
	if known, _, _ := s.tenure.now(); known.Region != "" || s.file.Primary() != s.self.Region {
		return false
	}
	first := failover.Record{Region: s.self.Region, Term: s.firstTerm(ctx), Promise: failover.Promise{Now: s.file.Database.Durability, Of: failover.AmongOf(s.counted())}}
	_, err := s.store.CompareAndSwap(ctx, s.tenure.key, 0, mustJSON(first))
	return err == nil
}

// firstTerm is where a new world counts its terms from: 1, or beyond what was
// counted before its database was restored.
func (s *steward) firstTerm(ctx context.Context) uint64 {
	tl, err := s.pg.LastTimeline(ctx)
	if err != nil {
		s.log.Warn("the timeline of the data cannot be read", "why", err.Error())
		return 1
	}
	return max(1, uint64(tl))
}

// start lets the steward act, until ctx is over.
func (s *steward) start(ctx context.Context, ready func()) error {
	s.started.Store(true)
	ready()
	<-ctx.Done()
	s.started.Store(false)
	return nil
}

// isStandby reports whether the data here is a standby's: of a region that took
// the record and was lost before it promoted.
func (s *steward) isStandby() bool {
	_, err := os.Stat(filepath.Join(s.dir, "pg", "standby.signal"))
	return err == nil
}

// serveStandbys carries the connections of other regions' standbys.
func (s *steward) serveStandbys(ctx context.Context, l net.Listener, ready func()) error {
	primary := s.pg.Role() == instance.Primary
	// A standby has them too: it may become the primary, and keeps then what
	// the others still need.
	if err := s.pg.Slots(ctx, s.slots()); err != nil && primary {
		return err
	} else if err != nil {
		s.log.Warn("replication slots were not made on the standby", "why", err.Error())
	}
	s.streams.admit(primary)
	ready()
	s.streams.run(ctx, l)
	return nil
}

// slots names the replication slots of the other regions.
func (s *steward) slots() (out []string) {
	for _, r := range s.world().Regions {
		if r.Name != s.self.Region {
			out = append(out, instance.Slot(r.Name))
		}
	}
	return out
}

// fit reports whether this region should renew: its PostgreSQL takes writes, or
// was heard to only lately. A holder that could not serve would only keep
// others from it.
func (s *steward) fit() bool {
	if s.pg.Role() == instance.Primary && s.proxy.ReplayLag() >= 0 {
		s.fitAt.Store(int64(boottime.Now()))
		return true
	}
	return boottime.Now()-time.Duration(s.fitAt.Load()) < unfitPatience
}

// ended returns where the history that all regions follow left a timeline, 0 if
// that is not known: what the successor noted when it opened, or before that,
// the position at which this region handed over.
func (n *node) ended(timeline uint32) meridian.LSN {
	for _, f := range n.forks() {
		if f.Timeline == timeline {
			return f.LSN
		}
	}
	if r, _, _ := n.tenure.now(); r.From == n.self.Region {
		return r.Gate
	}
	return 0
}

// lease returns until when this region may act as the primary, and in which
// term: not before its PostgreSQL is one, however early the record is ours.
func (n *node) lease(pg *instance.Instance) func() (time.Duration, uint64) {
	return func() (time.Duration, uint64) {
		until, term := n.tenure.lease()
		if pg.Role() != instance.Primary {
			until = 0
		}
		return until, term
	}
}
