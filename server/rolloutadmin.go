package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian"
	"meridian/client"
	"meridian/edge/rollout"
)

// operators does what operators ask of rollouts, at the node that they asked.
type operators struct{ *node }

// maxRules bounds the rules of a rollout, in bytes: the store bounds a value.
const maxRules = 40 << 10

// A rolloutSaid is what an edge answers about a rollout.
type rolloutSaid struct {
	rollout.Report
	Waits string `json:"waits"`
}

func (n *node) serveRollout(w http.ResponseWriter, _ *http.Request) {
	if n.rollouts == nil {
		http.Error(w, "there is no edge here", http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(rolloutSaid{n.rollouts.report(), n.rollouts.waitsFor()})
}

// serveRolloutCheck answers whether this edge could take rules.
func (n *node) serveRolloutCheck(w http.ResponseWriter, r *http.Request) {
	out := client.Reloaded{Node: n.self.Name}
	part, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRules))
	switch {
	case err == nil && n.rollouts == nil:
		err = errors.New("there is no edge here")
	case err == nil:
		err = n.rollouts.check(part)
	}
	if err != nil {
		out.Why = err.Error()
	}
	json.NewEncoder(w).Encode(out)
}

// Start implements admin.Rollouts: every edge that is alive must find the rules
// good before any has them.
func (o operators) Start(ctx context.Context, in client.RolloutStart) (client.Rollout, error) {
	rec, err := recordOf(in, time.Now().UTC())
	if err != nil {
		return client.Rollout{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("rollout: %w", err))
	}
	s := inStore{o.store}
	if now, _, err := recordIn(s.View()); err != nil || now.Under() {
		return client.Rollout{}, cmp.Or(err, underWay(now))
	}
	if err := o.checkEverywhere(ctx, []byte(in.Rules)); err != nil {
		return client.Rollout{}, err
	}
	key := rulesPrefix + rec.Plan.Version
	if err := s.Put(ctx, key, []byte(in.Rules)); err != nil {
		return client.Rollout{}, fmt.Errorf("rollout: keep its rules: %w", err)
	}
	if _, err := changeRollout(ctx, s, begun(rec)); err != nil {
		s.Delete(ctx, key) // nobody names it
		return client.Rollout{}, err
	}
	o.forgetRules(ctx, rec.Plan.Version)
	return o.settled(ctx, func(r rollout.Report) bool { return r.Version == rec.Plan.Version && (r.Serves || r.Refused != "") })
}

// begun puts a rollout in the place of one that is over.
func begun(rec rollout.Record) func(rollout.Record) (rollout.Record, error) {
	return func(now rollout.Record) (rollout.Record, error) {
		if now.Under() {
			return now, underWay(now)
		}
		return rec, nil
	}
}

func underWay(now rollout.Record) error {
	if now.Phase == rollout.Promoted {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("rollout: %s was promoted, and the files do not have it yet: put it there and run `meridian reload`, or abort it", now.Plan.Version))
	}
	return meridian.WithKind(meridian.Invalid, fmt.Errorf("rollout: %s is under way since %s, at %v %%: promote or abort it first", now.Plan.Version, now.Started.Format(time.DateTime), now.Plan.Percent))
}

// recordOf returns the record of a rollout that begins.
func recordOf(in client.RolloutStart, now time.Time) (rollout.Record, error) {
	rec := rollout.Record{
		Plan: rollout.Plan{
			Version: "r" + strings.ToLower(rand.Text()[:8]), Seed: []byte(rand.Text()), Percent: in.Percent,
			Header: http.CanonicalHeaderKey(in.Header), Value: in.Value, By: cmp.Or(rollout.By(in.By), rollout.ByClient), Sticky: in.Sticky,
		},
		Gate:  rollout.Gate{Off: in.NoGate, MaxErrors: in.MaxErrors, MaxRefused: in.MaxRefused, MinRequests: in.MinRequests, MaxAlone: in.MaxErrorsAlone, MaxLatency: in.MaxLatencyRatio},
		Steps: in.Steps, Hold: in.Hold, Phase: rollout.Staged, Turn: 1, Why: "started", By: anOperator, File: in.File, Started: now, Changed: now,
	}
	if len(in.Steps) > 0 {
		rec.Plan.Percent = in.Steps[0]
	}
	if len(in.Rules) > maxRules {
		return rec, fmt.Errorf("the rules have %d bytes; expected at most %d", len(in.Rules), maxRules)
	}
	return rec, rec.Check()
}

const anOperator = "an operator"

// checkEverywhere has every edge that is alive read rules. One that refuses them,
// or does not answer, is an error.
func (o operators) checkEverywhere(ctx context.Context, rules []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	edges := o.aliveEdges()
	errs := make([]error, len(edges))
	var all sync.WaitGroup
	for i, edge := range edges {
		all.Go(func() {
			b, err := o.send(ctx, http.MethodPost, edge, "/rollout/check", bytes.NewReader(rules))
			var said client.Reloaded
			if err == nil && json.Unmarshal(b, &said) != nil {
				err = errors.New(strings.TrimSpace(string(b)))
			}
			if err == nil && said.Why != "" {
				err = errors.New(said.Why)
			}
			errs[i] = err
		})
	}
	all.Wait()
	by := map[string][]string{}
	var order []string
	for i, err := range errs {
		if err != nil {
			if by[err.Error()] == nil {
				order = append(order, err.Error())
			}
			by[err.Error()] = append(by[err.Error()], edges[i])
		}
	}
	var out []error
	for _, why := range order {
		out = append(out, fmt.Errorf("nothing is staged: refused by %s:\n%s", strings.Join(by[why], ", "), why))
	}
	if len(out) == 0 {
		return nil
	}
	return meridian.WithKind(meridian.Invalid, errors.Join(out...))
}

// aliveEdges names the nodes with an edge that the map says are healthy; all of
// them, if it says so of none.
func (n *node) aliveEdges() (out []string) {
	all := n.edgeNodes()
	healthy := map[meridian.Region]bool{}
	for _, e := range n.atlas.Now().Edges {
		healthy[e.Name] = e.Healthy
	}
	for _, name := range all {
		if healthy[n.placeOf(name)] {
			out = append(out, name)
		}
	}
	if out == nil {
		return all
	}
	return out
}

// forgetRules removes the rules of versions that are over.
func (o operators) forgetRules(ctx context.Context, but string) {
	for _, e := range o.store.Now().Prefix(rulesPrefix) {
		if e.Key != rulesPrefix+but {
			if err := o.store.Delete(ctx, e.Key); err != nil {
				o.log.Warn("the rules of an old rollout stay in the store", "key", e.Key, "why", err.Error())
			}
		}
	}
}

// change makes one change of a rollout that is under way.
func (o operators) change(ctx context.Context, next func(rollout.Record) (rollout.Record, error)) (rollout.Record, error) {
	return changeRollout(ctx, inStore{o.store}, func(now rollout.Record) (rollout.Record, error) {
		if !now.Under() {
			return now, meridian.WithKind(meridian.Invalid, errors.New("rollout: none is under way; `meridian rollout start FILE` begins one"))
		}
		want, err := next(now)
		if err == nil && !bytes.Equal(mustJSON(want), mustJSON(now)) {
			want.By, want.Changed = anOperator, time.Now().UTC()
		}
		return want, err
	})
}

// Percent implements admin.Rollouts.
func (o operators) Percent(ctx context.Context, percent float64) (client.Rollout, error) {
	rec, err := o.change(ctx, func(now rollout.Record) (rollout.Record, error) {
		if now.Phase != rollout.Staged {
			return now, meridian.WithKind(meridian.Invalid, fmt.Errorf("rollout: %s is %s: its percentage is 100", now.Plan.Version, now.Phase))
		}
		next := now
		next.Plan.Percent, next.Steps, next.Turn, next.Why = percent, nil, now.Turn+1, fmt.Sprintf("from %v %% to %v %%", now.Plan.Percent, percent)
		if err := next.Check(); err != nil {
			return now, meridian.WithKind(meridian.Invalid, fmt.Errorf("rollout: %w", err))
		}
		return next, nil
	})
	if err != nil {
		return client.Rollout{}, err
	}
	return o.settled(ctx, func(r rollout.Report) bool { return r.Step == rec.Turn })
}

// Promote implements admin.Rollouts. Its answer has the rules.
func (o operators) Promote(ctx context.Context) (client.Rollout, error) {
	rec, err := o.change(ctx, func(now rollout.Record) (rollout.Record, error) {
		if now.Phase == rollout.Promoted {
			return now, nil
		}
		return now.After(rollout.Decision{Do: rollout.Promote, Why: "promoted by an operator"}, anOperator, now.Changed), nil
	})
	if err != nil {
		return client.Rollout{}, err
	}
	e, _ := o.store.Now().Get(rulesPrefix + rec.Plan.Version)
	out, err := o.settled(ctx, func(r rollout.Report) bool { return r.Step == rec.Turn })
	out.Rules = string(e.Value)
	return out, err
}

// Abort implements admin.Rollouts.
func (o operators) Abort(ctx context.Context) (client.Rollout, error) {
	rec, err := o.change(ctx, func(now rollout.Record) (rollout.Record, error) {
		now.Phase, now.Why = rollout.Aborted, fmt.Sprintf("aborted by an operator at %v %%", now.Plan.Percent)
		return now, nil
	})
	if err != nil {
		return client.Rollout{}, err
	}
	return o.settled(ctx, func(r rollout.Report) bool { return r.Version == rec.Plan.Version && !r.Serves })
}

// settlePatience bounds how long a change waits to be seen at all edges.
const settlePatience = 3 * time.Second

// settled returns the status once all edges that are alive are as is says, or
// some time later.
func (o operators) settled(ctx context.Context, is func(rollout.Report) bool) (client.Rollout, error) {
	until := time.NewTimer(settlePatience)
	defer until.Stop()
	for {
		said := o.asked(ctx)
		if !slices.ContainsFunc(o.aliveEdges(), func(name string) bool { s, ok := said[name]; return !ok || !is(s.Report) }) {
			return o.shown(said)
		}
		select {
		case <-ctx.Done():
			return client.Rollout{}, context.Cause(ctx)
		case <-until.C:
			return o.shown(said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// asked returns what the edges say that answer.
func (o operators) asked(ctx context.Context) map[string]rolloutSaid {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	out := map[string]rolloutSaid{}
	for _, edge := range o.edgeNodes() {
		all.Go(func() {
			var said rolloutSaid
			b, err := o.ask(ctx, edge, "/rollout")
			if err != nil || json.Unmarshal(b, &said) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[edge] = said
		})
	}
	all.Wait()
	return out
}

// Status implements admin.Rollouts.
func (o operators) Status(ctx context.Context) (client.Rollout, error) { return o.shown(o.asked(ctx)) }

// A glance is the newest rollout as a status shows it. The edges are asked at most
// once a second, whoever looks.
type glance struct {
	of operators

	mu   sync.Mutex // guards what follows, and the asking
	at   time.Time
	last *client.Rollout
}

// How old a rollout in a status may be, how long edges are asked for it, and how
// long one is shown that was rolled back.
const (
	glanceEvery    = time.Second
	glancePatience = time.Second
	glanceAfter    = time.Hour
)

// look returns the rollout that is under way, or was rolled back lately; nil if
// there is none.
func (g *glance) look(ctx context.Context) *client.Rollout {
	rec, _, err := recordIn(inStore{g.of.store}.View())
	if err != nil || !noteworthy(rec, time.Now()) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last != nil && g.last.Version == rec.Plan.Version && g.last.Changed.Equal(rec.Changed) && time.Since(g.at) < glanceEvery {
		return g.last
	}
	ctx, cancel := context.WithTimeout(ctx, glancePatience)
	defer cancel()
	if out, err := g.of.Status(ctx); err == nil {
		g.last, g.at = &out, time.Now()
	}
	return g.last
}

func noteworthy(rec rollout.Record, now time.Time) bool {
	return rec.Under() || rec.Phase == rollout.RolledBack && now.Sub(rec.Changed) < glanceAfter
}

// shown returns the newest rollout as an operator sees it.
func (o operators) shown(said map[string]rolloutSaid) (client.Rollout, error) {
	rec, _, err := recordIn(inStore{o.store}.View())
	if err != nil {
		return client.Rollout{}, err
	}
	p := rec.Plan
	out := client.Rollout{
		Version: p.Version, Phase: string(rec.Phase), Percent: p.Percent, Header: p.Header, By: string(p.By), Sticky: p.Sticky, Steps: rec.Steps, Hold: rec.Hold,
		Gate: !rec.Gate.Off && rec.Plan.Version != "", File: rec.File, Started: rec.Started, Changed: rec.Changed, Why: rec.Why, Who: rec.By, Edges: []client.RolloutEdge{},
	}
	if p.Version == "" {
		return out, nil
	}
	var sum rollout.Arms
	for _, name := range o.edgeNodes() {
		s, ok := said[name]
		e := client.RolloutEdge{Edge: string(o.placeOf(name)), State: "silent"}
		if ok = ok && s.Version == p.Version; ok {
			e.State, e.Why = stateAt(rec, s.Report)
			e.InFile, e.RolloutArms = s.InFile, armsOf(s.Arms)
			sum = sum.Plus(s.Arms)
			if rec.Under() {
				out.Waits = cmp.Or(out.Waits, s.Waits)
			}
		}
		out.Edges = append(out.Edges, e)
	}
	out.All = armsOf(sum)
	return out, nil
}

// stateAt names how a rollout stands at one edge.
func stateAt(rec rollout.Record, r rollout.Report) (state, why string) {
	switch {
	case r.Refused != "":
		return "refused", r.Refused
	case !r.Serves:
		return "current", ""
	case rec.Phase == rollout.Promoted:
		return "promoted", ""
	}
	return "staged", ""
}

func armsOf(a rollout.Arms) client.RolloutArms {
	arm := func(c rollout.Counts) client.RolloutArm {
		out := client.RolloutArm{Requests: c.Requests, Errors: c.Errors, Refused: c.Refused, P50: c.Quantile(0.5), P99: c.Quantile(0.99)}
		if c.Requests > 0 {
			out.Mean = time.Duration(c.Seconds / float64(c.Requests) * float64(time.Second))
		}
		return out
	}
	return client.RolloutArms{Current: arm(a.Current.Total), Staged: arm(a.Staged.Total)}
}
