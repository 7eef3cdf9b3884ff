package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"meridian"
	"meridian/client"
	"meridian/edge/rollout"
)

// operators does what operators ask of rollouts, at the node that they asked.
type operators struct{ *node }

// maxRules bounds the rules of a rollout, in bytes: the store bounds a value.
const maxRules = 40 << 10

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
