package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"meridian/client"
	"meridian/test/operator"
)

// A nemesis does a plan to a world.
type nemesis struct {
	world operator.World
	begin time.Time
	roles []string            // regions, the primary first
	hit   map[string][]string // what a fault met, by its name without times
	say   func(format string, args ...any)
}

// healPatience and patience bound one command: what was killed takes a while
// to be back.
const healPatience, patience = 75 * time.Second, 12 * time.Second

// follow does the plan and returns when it is done, or the context over.
func (n *nemesis) follow(ctx context.Context, p plan) {
	for _, e := range p {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(n.begin.Add(e.at))):
		}
		for _, said := range n.do(ctx, e) {
			n.say("%v %s: %s", time.Since(n.begin).Round(time.Millisecond), e, said)
		}
	}
}

// do runs an event's commands, at once, and returns what they say.
func (n *nemesis) do(ctx context.Context, e event) []string {
	wait := patience
	if e.heal {
		wait = healPatience
	}
	commands := n.commands(ctx, e)
	out := make([]string, len(commands))
	var all sync.WaitGroup
	for i, args := range commands {
		all.Go(func() {
			var err error
			if out[i], err = n.run(ctx, wait, args...); err != nil {
				out[i] = err.Error()
			}
		})
	}
	all.Wait()
	return out
}

func (n *nemesis) run(ctx context.Context, wait time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return n.world.Run(ctx, args...)
}

// commands returns the command lines of an event. What heals meets what was
// hit, whoever is primary by then.
func (n *nemesis) commands(ctx context.Context, e event) (out [][]string) {
	id := fmt.Sprint(e.fault, e.a, e.b)
	if e.heal {
		regions := n.hit[id]
		switch {
		case len(regions) == 0:
			return nil
		case e.fault == isolate:
			return [][]string{{"fault", "heal", regions[0], regions[1]}, {"fault", "heal", regions[0], regions[2]}}
		case e.fault == sleep:
			return each(regions, "fault", "heal")
		}
		return [][]string{append([]string{"fault", "heal"}, regions...)}
	}
	n.cast(ctx)
	switch a := n.roles[e.a]; e.fault {
	case switchover:
		return [][]string{{"switchover", a, "--yes"}}
	case isolate:
		n.hit[id] = []string{a, n.roles[1], n.roles[2]}
		return [][]string{{"fault", "cut", a, n.roles[1]}, {"fault", "cut", a, n.roles[2]}}
	case cut, slow:
		n.hit[id] = []string{a, n.roles[e.b]}
		args := []string{"fault", string(e.fault), a, n.roles[e.b]}
		if e.fault == slow {
			args = append(args, "--by", e.by.String())
		}
		return [][]string{args}
	case oneWay:
		n.hit[id] = []string{a, n.roles[e.b]}
		return [][]string{{"fault", "cut", "--one-way", a, n.roles[e.b]}}
	case sleep:
		n.hit[id] = slices.Clone(n.roles)
		return each(n.roles, "fault", "pause")
	case pause, freeze:
		n.hit[id] = []string{a}
		return [][]string{{"fault", "pause", a}}
	default:
		n.hit[id] = []string{a}
		return [][]string{{"fault", "down", a}}
	}
}

// each returns a command line for each region.
func each(regions []string, args ...string) (out [][]string) {
	for _, r := range regions {
		out = append(out, append(slices.Clone(args), r))
	}
	return out
}

// cast gives the roles anew, if the status tells who is primary.
func (n *nemesis) cast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if s, err := n.world.Status(ctx); err == nil {
		n.roles = roles(s, n.roles)
	}
}

// roles returns the regions, the primary first and the others in the file's
// order; before, if there is not one primary.
func roles(s client.Status, before []string) []string {
	var primary, others []string
	for _, r := range s.Regions {
		if r.Primary {
			primary = append(primary, r.Name)
		} else {
			others = append(others, r.Name)
		}
	}
	if len(primary) != 1 {
		return before
	}
	return append(primary, others...)
}
