package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/config"
	"meridian/internal/boottime"
	"meridian/postgres"
	"meridian/postgres/failover"
	"meridian/postgres/instance"
	"meridian/store"
)

// More of what the store holds, by key.
const (
	movePrefix   = "switch/move/"   // + database: a failover.Move that an operator asked for
	movedPrefix  = "switch/moved/"  // + database: a moved, the answer
	reportPrefix = "switch/report/" // + database + "/" + region: a failover.Report
	pledgePrefix = "switch/pledge/" // + database + "/" + region: a failover.Pledge
	forkPrefix   = "switch/fork/"   // + database + "/" + timeline that ended: a postgres.Fork
)

// A moved is what became of a Move.
type moved struct {
	ID     string    `json:"id"`
	Phase  string    `json:"phase"` // one of the phases
	Why    string    `json:"why"`
	Paused time.Time `json:"paused,omitzero"` // when the holder took no more writes
	Opened time.Time `json:"opened,omitzero"` // when the successor took them
	Killed int       `json:"killed"`          // sessions that could not move
}

// The phases of a move.
const (
	handed  = "handed"  // the holder gave the record away
	done    = "done"    // the successor is open for writes
	refused = "refused" // the holder keeps the record
)

// How long the steps of a move may take. Together they are less than a client
// waits, and what fails early is undone.
const (
	stewardTick   = 100 * time.Millisecond
	markAge       = 500 * time.Millisecond // of most marks in a renewal
	rightPoll     = 5 * time.Millisecond
	pauseBudget   = 1500 * time.Millisecond // for open transactions to end
	stopBudget    = 4 * time.Second
	startBudget   = 2 * time.Second // then it goes on starting by itself
	recruitBudget = 3 * time.Second
	promoteBudget = 10 * time.Second
	unfitPatience = 10 * time.Second // a holder whose PostgreSQL is down for longer lets its lease end
	startPatience = time.Minute      // or, at the start of its node, has not come up
)

// A steward does for one region what package failover decides.
type steward struct {
	self    config.Node
	db      string
	file    *config.File
	world   func() *config.File      // with the regions of now
	counted func() []meridian.Region // those that neither join nor leave
	left    func() []meridian.Region // those that are gone
	tenure  *tenure
	pg      *instance.Instance
	proxy   *postgres.Proxy
	streams *streams // to other regions
	further *streams // to further standbys of this one
	store   store.Store
	alive   func(meridian.Region) bool
	changed func() // the map must be drawn anew
	search  func(context.Context, meridian.LSN) (postgres.Outcomes, error)
	warm    func(context.Context, meridian.Region) error // opens the link to a region
	lead    func(context.Context) error                  // makes this node's member lead the store, if it is one
	dir     string                                       // of the instance
	log     *slog.Logger
	started atomic.Bool  // the parts that it acts on run; before that it only says whom to follow
	fitAt   atomic.Int64 // boottime at which PostgreSQL was last seen to take writes

	follows  uint64        // the term that the standby was told to follow
	since    time.Time     // of the pledge
	lag      time.Duration // at the last time that the primary was heard
	waiting  waiting       // for sessions that cannot move
	refused  string        // the move that was refused last
	deaf     string        // the move whose target did not answer
	deafAt   time.Duration // boottime at which that was first so
	lastSaid failover.Decision
	change   change
	slotted  string    // whose slots are as they should be, and in which PostgreSQL
	slotting time.Time // when they were last seen to
}

// run decides and does, until ctx is over.
func (s *steward) run(ctx context.Context) {
	follow(ctx, s.store, stewardTick, func() {
		s.tenure.see(s.store.Now())
		s.step(ctx)
		if err := s.keep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("durability is not kept up", "why", err.Error())
		}
		if err := s.keepSlots(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("replication slots are not those of the regions", "why", err.Error())
		}
	})
}

// backGrace is how long a move waits for a target that does not answer. Of a
// region that has just come back one node hears a moment before another: it may
// be shown as well already, and moved to.
const backGrace = 3 * time.Second

// mayComeBack reports whether a move has waited for its target for less.
func (s *steward) mayComeBack(move string) bool {
	if s.deaf != move {
		s.deaf, s.deafAt = move, boottime.Now()
	}
	return boottime.Now()-s.deafAt < backGrace
}

// step decides once and does it.
func (s *steward) step(ctx context.Context) {
	v := s.look()
	d := failover.Decide(v)
	if d.Do != s.lastSaid.Do || d.Term != s.lastSaid.Term || d.Who != s.lastSaid.Who {
		s.log.Info("primary", "do", string(d.Do), "of", d.Who, "term", d.Term, "why", d.Why)
		s.lastSaid = d
	}
	if !s.may(d.Do) {
		return
	}
	if err := s.do(ctx, v, d); err != nil && ctx.Err() == nil {
		s.log.Error("primary: a step failed", "do", string(d.Do), "term", d.Term, "err", err)
	}
}

// may reports whether a step may be taken now. While PostgreSQL starts it may
// only follow, or be promoted where its start waits for that.
func (s *steward) may(do failover.Action) bool {
	if do == failover.Promote {
		return s.tenure.certain() && (s.started.Load() || s.waits())
	}
	return s.started.Load() || do == failover.Follow
}

// do takes the step that was decided.
func (s *steward) do(ctx context.Context, v failover.View, d failover.Decision) error {
	switch d.Do {
	case failover.Wait, failover.Hold: // the tenure renews by itself
	case failover.Raise:
		return s.raise(ctx, d)
	case failover.Hand:
		if !s.stays(v.Move) {
			return s.hand(ctx, d, v.Move)
		}
	case failover.Refuse:
		if !s.mayComeBack(v.Move.ID) {
			return s.refuse(ctx, v.Move, errors.New(d.Why))
		}
	case failover.Recruit:
		return s.recruit(ctx, d)
	case failover.Tell:
		return s.report(ctx, d.Term, s.pg.Settle)
	case failover.Own:
		return s.store.Put(ctx, pledgePrefix+s.db+"/"+string(s.self.Region), mustJSON(failover.Pledge{Region: s.self.Region, Term: d.Term}))
	case failover.Take:
		return s.take(ctx, d)
	case failover.Promote:
		return s.promote(ctx, v.Record)
	case failover.Follow:
		return s.follow(ctx, d.Term)
	case failover.Rejoin:
		return s.rejoin(ctx, d.Term)
	}
	return nil
}

// look gathers what the decision stands on.
func (s *steward) look() failover.View {
	r, _, age := s.tenure.now()
	v := failover.View{
		Self: s.self.Region, Record: r, Age: age, State: s.state(), Lacks: s.pg.Lacks(), Pledged: s.pg.Term(),
		Follows: s.follows, Since: time.Since(s.since), Witness: s.file.Witness, MaxLoss: s.file.Database.Failover.MaxLoss, Alive: map[meridian.Region]bool{},
	}
	v.Regions = r.Promise.Of.Regions(s.counted())
	for _, region := range s.world().Regions {
		v.Alive[region.Name] = s.alive(region.Name)
	}
	if age < 2*failover.Renew+markAge {
		s.lag = s.proxy.ReplayLag()
	}
	v.Lag = s.lag
	view := s.store.Now()
	each(view, reportPrefix+s.db+"/", s.log, func(_ string, p failover.Report) { v.Reports = append(v.Reports, p) })
	each(view, pledgePrefix+s.db+"/", s.log, func(_ string, p failover.Pledge) { v.Pledges = append(v.Pledges, p) })
	if m := s.asked(view); m.ID != "" {
		v.Move = &m
	}
	return v
}

// asked returns the move that an operator asked for last and that was not
// refused.
func (s *steward) asked(view *store.View) (m failover.Move) {
	each(view, movePrefix+s.db, s.log, func(_ string, x failover.Move) { m = x })
	answered := s.refused
	each(view, movedPrefix+s.db, s.log, func(_ string, x moved) {
		if x.Phase == refused {
			answered = x.ID
		}
	})
	if m.ID == answered || m.ID == s.refused {
		return failover.Move{}
	}
	return m
}

func (s *steward) state() failover.State {
	switch s.pg.Role() {
	case instance.Primary:
		return failover.Primary
	case instance.Standby:
		return failover.Standby
	}
	return failover.Stopped
}

// raise renews in a term above what standbys pledged, so that they follow again.
func (s *steward) raise(ctx context.Context, d failover.Decision) error {
	for range 3 { // a renewal of ours may come in between
		r, rev, _ := s.tenure.now()
		if r.Region != s.self.Region || r.Term >= d.Term {
			return nil
		}
		r.Took = cmp.Or(r.Took, r.Term)
		r.Term, r.Count, r.Gate, r.From = d.Term, 0, 0, ""
		if ok, err := s.tenure.replace(ctx, r, rev); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("the record kept changing while it was raised to term %d", d.Term)
}

// recruit pledges a term, and tells how far this standby's log reaches.
func (s *steward) recruit(ctx context.Context, d failover.Decision) error {
	s.streams.cut("")
	return s.report(ctx, d.Term, func(ctx context.Context) (instance.Report, error) { return s.pg.Recruit(ctx, d.Term) })
}

// report tells what a standby that pledged a term says of its log.
func (s *steward) report(ctx context.Context, term uint64, ask func(context.Context) (instance.Report, error)) error {
	bounded, cancel := context.WithTimeout(ctx, recruitBudget)
	defer cancel()
	s.follows = 0
	p, err := ask(bounded)
	if err != nil {
		return err
	}
	s.since = time.Now()
	report := failover.Report{Region: s.self.Region, Term: term, Timeline: p.Timeline, Flushed: p.Flushed}
	return s.store.Put(ctx, reportPrefix+s.db+"/"+string(s.self.Region), mustJSON(report))
}
