package server

import (
	"cmp"
	"context"
	"sync"
	"time"

	"meridian/client"
	"meridian/edge/rollout"
)

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
