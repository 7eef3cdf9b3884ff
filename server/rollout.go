package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"meridian"
	"meridian/config"
	"meridian/edge"
	"meridian/edge/rollout"
	"meridian/internal/lifecycle"
)

// A rolloutLedger is what rollouts need of a store.Store.
type rolloutLedger interface {
	pairLedger
	Delete(ctx context.Context, key string) error
}

// A stager is an edge that can have two versions of its rules.
type stager interface {
	PrepareStage(edge.Rules) (*edge.Staged, error)
	Stage(*edge.Staged, rollout.Plan)
	Unstage(rolledBack bool)
	Rollout() (version string, arms rollout.Arms)
}

// rollouts is what one edge does with the rollout of the store: it stages what
// is to be staged, counts, tells, hears and judges.
type rollouts struct {
	self  string
	store rolloutLedger
	door  stager
	read  func(part []byte) (*config.File, error) // the file in force, with a part of another in it
	file  func() *config.File                     // in force
	log   *slog.Logger
	now   func() time.Time

	mu       sync.Mutex // guards what follows
	record   rollout.Record
	since    time.Time // when this edge saw the present step
	follows  rollout.Record
	staged   *config.File
	checked  *config.File // of which file is
	inFile   bool
	refused  string            // why it cannot take the version of record
	verdicts map[string]string // why versions were rolled back, by version
	last     rollout.Arms      // of the version of record
}

func newRollouts(self string, s rolloutLedger, door stager, read func([]byte) (*config.File, error), file func() *config.File, log *slog.Logger) *rollouts {
	return &rollouts{self: self, store: s, door: door, read: read, file: file, log: log.With("hop", "edge"), now: time.Now, verdicts: map[string]string{}}
}

// addRollouts adds this edge's part in rollouts.
func (n *node) addRollouts(g *lifecycle.Group, door stager) {
	r := newRollouts(n.self.Name, inStore{n.store}, door, n.withRules, n.inForceNow, n.log)
	n.rollouts = newJury(n, r)
	g.Add("rollout", r.follow)
	g.Add("rollout, judged", n.rollouts.run)
}

// withRules returns the file in force with a part of another in the place of
// what an edge takes while it runs. Paths in the part begin where the file is.
func (n *node) withRules(part []byte) (*config.File, error) {
	now := n.inForceNow()
	rest, err := config.MarshalKeys(now, func(key string) bool { return !slices.Contains(edgeRules, key) })
	if err != nil {
		return nil, err
	}
	f, err := config.Parse(filepath.Base(now.Path), filepath.Dir(now.Path), append(rest, part...))
	if err != nil {
		return nil, err
	}
	if stray := slices.DeleteFunc(config.Changed(now, f), func(key string) bool { return slices.Contains(edgeRules, key) }); len(stray) > 0 {
		return nil, fmt.Errorf("the rules change %v, which edges do not take while they run", stray)
	}
	return f, Check(f)
}

// follow does what the store says, until ctx is over.
func (r *rollouts) follow(ctx context.Context, ready func()) error {
	r.obey()
	ready()
	follow(ctx, r.store, 0, r.obey)
	return nil
}

// recordIn returns the newest rollout of a view; the zero one if there is none.
func recordIn(v entry) (rec rollout.Record, e int64, err error) {
	found, ok := v.Get(rolloutKey)
	if !ok {
		return rec, 0, nil
	}
	if err := json.Unmarshal(found.Value, &rec); err != nil {
		return rec, found.Rev, fmt.Errorf("entry %s of the store cannot be read: %w", rolloutKey, err)
	}
	return rec, found.Rev, nil
}

// obey makes this edge have the version that it should have.
func (r *rollouts) obey() {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, _, err := recordIn(r.store.View())
	if err != nil {
		r.log.Error("a rollout is left out", "why", err.Error())
		rec = rollout.Record{}
	}
	if rec.Plan.Version != r.record.Plan.Version {
		r.refused, r.staged, r.last = "", nil, rollout.Arms{}
		clear(r.verdicts)
	}
	if rec.Plan.Version != r.record.Plan.Version || rec.Turn != r.record.Turn {
		r.since = r.now()
	}
	r.record = rec
	r.apply()
}

// apply stages or unstages what record says, with mu held.
func (r *rollouts) apply() {
	rec := r.record
	if !rec.Under() || r.verdicts[rec.Plan.Version] != "" || r.refused != "" {
		r.leave()
		return
	}
	same := r.follows.Plan.Version == rec.Plan.Version
	if same && r.follows.Turn == rec.Turn {
		return
	}
	if err := r.stage(rec, same); err != nil {
		r.refused = err.Error()
		r.log.Error("the staged rules are refused", "version", rec.Plan.Version, "why", r.refused)
		r.leave()
		return
	}
	r.follows = rec
	r.log.Info("rollout", "version", rec.Plan.Version, "phase", string(rec.Phase), "percent", rec.Plan.Percent, "header", rec.Plan.Header, "why", rec.Why)
}

// stage puts the version of a record beside the current one.
func (r *rollouts) stage(rec rollout.Record, same bool) error {
	if same {
		r.door.Stage(nil, rec.Plan)
		return nil
	}
	e, ok := r.store.View().Get(rulesPrefix + rec.Plan.Version)
	if !ok {
		return errors.New("the store does not have its rules")
	}
	f, err := r.read(e.Value)
	if err != nil {
		return err
	}
	s, err := r.prepare(f)
	if err != nil {
		return err
	}
	r.staged, r.checked = f, nil
	r.door.Stage(s, rec.Plan)
	return nil
}

func (r *rollouts) prepare(f *config.File) (*edge.Staged, error) {
	rules, err := rulesOf(f)
	if err != nil {
		return nil, err
	}
	return r.door.PrepareStage(rules)
}

// leave gives all requests the current rules, with mu held.
func (r *rollouts) leave() {
	if r.follows.Plan.Version == "" {
		return
	}
	_, r.last = r.door.Rollout()
	r.door.Unstage(r.record.Phase == rollout.RolledBack || r.verdicts[r.follows.Plan.Version] != "")
	r.log.Info("rollout is over here", "version", r.follows.Plan.Version, "phase", string(r.record.Phase), "why", cmp.Or(r.verdicts[r.follows.Plan.Version], r.record.Why))
	r.follows = rollout.Record{}
}

// check finds out whether this edge could take rules. It has no effect.
func (r *rollouts) check(part []byte) error {
	f, err := r.read(part)
	if err != nil {
		return err
	}
	_, err = r.prepare(f)
	return err
}

// report returns what this edge has to tell of the newest rollout.
func (r *rollouts) report() rollout.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told()
}

// told is report with mu held.
func (r *rollouts) told() rollout.Report {
	v := r.record.Plan.Version
	out := rollout.Report{Node: r.self, Version: v, Step: r.follows.Turn, Serves: r.follows.Plan.Version == v && v != "", Refused: r.refused, Verdict: r.verdicts[v], Arms: r.last}
	if out.Serves {
		_, out.Arms = r.door.Rollout()
	}
	if p := r.record.Phase; p == rollout.RolledBack || p == rollout.Aborted {
		out.Verdict = r.record.Why // for who is cut off from the store
	}
	if now := r.file(); r.staged != nil {
		if r.checked != now {
			r.inFile = !slices.ContainsFunc(config.Changed(now, r.staged), func(key string) bool { return slices.Contains(edgeRules, key) })
			r.checked = now
		}
		out.InFile = r.inFile
	}
	return out
}

// changeTries bounds how often a record is written that others change.
const changeTries = 8

// changeRollout changes the record as next says, if it is still as that expects.
func changeRollout(ctx context.Context, s rolloutLedger, next func(rollout.Record) (rollout.Record, error)) (rollout.Record, error) {
	for range changeTries {
		rec, rev, err := recordIn(s.View())
		if err != nil {
			return rec, err
		}
		want, err := next(rec)
		if err != nil {
			return rec, err
		}
		if bytes.Equal(mustJSON(want), mustJSON(rec)) {
			return rec, nil
		}
		watch := s.Watch()
		ok, err := s.CompareAndSwap(ctx, rolloutKey, rev, mustJSON(want))
		switch {
		case err != nil:
			return rec, fmt.Errorf("change the rollout: %w", err)
		case ok:
			return want, nil
		}
		select { // another was faster
		case <-watch:
		case <-ctx.Done():
			return rec, context.Cause(ctx)
		}
	}
	return rollout.Record{}, meridian.WithKind(meridian.Unavailable, errors.New("the rollout kept changing"))
}
