package server

import (
	"bytes"
	"context"
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
