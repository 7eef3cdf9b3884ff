package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"meridian"
	"meridian/internal/leash"
)

// A Fault is something to break, or to mend.
type Fault struct {
	Do     string        `json:"do"`                // down, pause, cut, slow or heal
	Names  []string      `json:"names"`             // a node, or two places
	OneWay bool          `json:"one_way,omitempty"` // of cut: only what the first place sends
	Extra  time.Duration `json:"extra,omitempty"`   // of slow, added to each round trip
}

// healWait bounds how long heal waits for a node to be ready again.
const healWait = 60 * time.Second

// Inject does f, and returns what it did in words.
func (s *Supervisor) Inject(ctx context.Context, f Fault) (string, error) {
	switch {
	case f.Do == "heal" && len(f.Names) == 0:
		return s.healAll(ctx)
	case f.Do == "heal" && len(f.Names) == 1:
		return s.heal(ctx, f.Names[0])
	case f.Do == "heal" && len(f.Names) == 2:
		return s.link(leash.Fault{A: f.Names[0], B: f.Names[1]})
	case f.Do == "cut" && len(f.Names) == 2:
		return s.link(leash.Fault{A: f.Names[0], B: f.Names[1], Cut: true, OneWay: f.OneWay})
	case f.Do == "slow" && len(f.Names) == 2:
		return s.link(leash.Fault{A: f.Names[0], B: f.Names[1], Extra: f.Extra})
	case (f.Do == "down" || f.Do == "pause") && len(f.Names) == 1:
		return s.lose(f.Do, f.Names[0])
	}
	return "", meridian.WithKind(meridian.Invalid, fmt.Errorf("fault %s %s: want down|pause|heal NODE, or cut|slow|heal A B", f.Do, strings.Join(f.Names, " ")))
}

// lose kills or stops a node and all below it.
func (s *Supervisor) lose(do, node string) (string, error) {
	c, err := s.child(node)
	if err != nil {
		return "", err
	}
	st, _, _ := c.status()
	switch {
	case st == down:
		return node + " is down already", nil
	case do == "pause" && st == paused:
		return node + " is paused already", nil
	case do == "pause" && st != running:
		return "", meridian.WithKind(meridian.Unavailable, fmt.Errorf("%s is %s, only a running node can be paused", node, st))
	case do == "pause":
		c.set(paused)
		c.pause()
		return node + " is paused: its processes are stopped, its connections stay open", nil
	}
	c.set(down)
	c.kill()
	return node + " is down: its processes were killed", nil
}

// heal brings a node back, and mends every link of its place.
func (s *Supervisor) heal(ctx context.Context, node string) (string, error) {
	c, err := s.child(node)
	if err != nil {
		return "", err
	}
	plan := s.planned()
	n, _ := plan.Node(node)
	s.mend(func(f leash.Fault) bool { return f.A == string(n.Region) || f.B == string(n.Region) })
	st, _, _ := c.status()
	switch st {
	case paused:
		c.set(running)
		c.resume()
		c.order(s.order()) // what it could not be told
		return node + " goes on", nil
	case down, failed:
		ctx, cancel := context.WithTimeout(ctx, healWait)
		defer cancel()
		begin := time.Now()
		if err := s.restart(ctx, node); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s is back after %v", node, time.Since(begin).Round(time.Millisecond)), nil
	}
	return node + " is well", nil
}

// restart starts a node whose process is gone. Its watch outlives ctx, which
// bounds only the wait for readiness.
func (s *Supervisor) restart(ctx context.Context, node string) error {
	done := make(chan error, 1)
	if !s.begin(func() { done <- s.start(context.WithoutCancel(ctx), node) }) {
		return meridian.WithKind(meridian.Unavailable, errors.New("the world is ending"))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return meridian.WithKind(meridian.Timeout, fmt.Errorf("%s is not ready after %v; it goes on starting", node, healWait))
	}
}

func (s *Supervisor) healAll(ctx context.Context) (string, error) {
	s.mend(func(leash.Fault) bool { return true })
	var healed []string
	for _, n := range s.planned().Nodes {
		if st, _, _ := s.nodeProcess(n.Name).status(); st == running || st == starting {
			continue
		}
		if _, err := s.heal(ctx, n.Name); err != nil {
			return "", err
		}
		healed = append(healed, n.Name)
	}
	if len(healed) == 0 {
		return "all links are whole, all nodes are well", nil
	}
	return "all links are whole; healed " + strings.Join(healed, ", "), nil
}

// link sets what is wrong with a link; nothing, if f says nothing.
func (s *Supervisor) link(f leash.Fault) (string, error) {
	plan := s.planned()
	for _, p := range []string{f.A, f.B} {
		if !slices.Contains(Places(&plan), meridian.Region(p)) {
			return "", s.unknown("place", p)
		}
	}
	if f.A == f.B {
		return "", meridian.WithKind(meridian.Invalid, fmt.Errorf("a link joins two places, found %s twice", f.A))
	}
	same := func(o leash.Fault) bool { return o.A == f.A && o.B == f.B || o.A == f.B && o.B == f.A }
	s.mu.Lock()
	s.faults = slices.DeleteFunc(s.faults, same)
	if f.Cut || f.Extra > 0 {
		s.faults = append(s.faults, f)
	}
	s.mu.Unlock()
	s.tell()
	switch {
	case f.Cut && f.OneWay:
		return fmt.Sprintf("%s hears nothing from %s any more, which still hears it", f.B, f.A), nil
	case f.Cut:
		return fmt.Sprintf("the link between %s and %s is cut", f.A, f.B), nil
	case f.Extra > 0:
		return fmt.Sprintf("the link between %s and %s is slower by %v a round trip", f.A, f.B, f.Extra), nil
	}
	return fmt.Sprintf("the link between %s and %s is whole", f.A, f.B), nil
}

func (s *Supervisor) mend(which func(leash.Fault) bool) {
	s.mu.Lock()
	s.faults = slices.DeleteFunc(s.faults, which)
	s.mu.Unlock()
	s.tell()
}

// tell sends every node the state of the links.
func (s *Supervisor) tell() {
	o := s.order()
	for _, n := range s.planned().Nodes {
		s.nodeProcess(n.Name).order(o)
	}
}

func (s *Supervisor) child(node string) (*child, error) {
	plan := s.planned()
	if _, has := plan.Node(node); has {
		return s.nodeProcess(node), nil
	}
	return nil, s.unknown("node", node)
}

func (s *Supervisor) unknown(what, name string) error {
	var known []string
	if what == "place" {
		plan := s.planned()
		for _, p := range Places(&plan) {
			known = append(known, string(p))
		}
	} else {
		for _, n := range s.planned().Nodes {
			known = append(known, n.Name)
		}
	}
	sort.Strings(known)
	return meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no %s %q; expected one of %s", what, name, strings.Join(known, ", ")))
}
