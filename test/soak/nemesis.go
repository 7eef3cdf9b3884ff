package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"meridian/client"
	"meridian/test/operator"
)

// A nemesis breaks one thing of a world at a time, for a while, mends it, and
// waits until the world is whole. What it breaks may cost answers and never
// makes one wrong: the primary moves by its consent, and is not lost.
type nemesis struct {
	world operator.World
	rand  *rand.Rand
	out   io.Writer
}

func newNemesis(w operator.World, seed uint64, out io.Writer) *nemesis {
	return &nemesis{w, rand.New(rand.NewPCG(seed, 0)), out}
}

// healPatience bounds how long a world may take to be whole again.
const healPatience = 90 * time.Second

// run goes on until ctx is over, and leaves the world whole. A nil nemesis does
// nothing.
func (n *nemesis) run(ctx context.Context, s client.Status) error {
	if n == nil {
		return nil
	}
	for ctx.Err() == nil {
		e := draw(n.rand, s)
		if err := n.do(ctx, e); err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
		var err error
		if s, err = whole(context.WithoutCancel(ctx), n.world, healPatience); err != nil {
			return fmt.Errorf("after %s: %w", e, err)
		}
		wait(ctx, e.rest)
	}
	return nil
}

// do breaks something and mends it, even if ctx ends in between.
func (n *nemesis) do(ctx context.Context, e event) error {
	begin := time.Now()
	after := context.WithoutCancel(ctx)
	if _, err := n.world.Run(after, e.args...); err != nil {
		return err
	}
	wait(ctx, e.lasts)
	if e.args[0] == "fault" {
		if _, err := n.world.Run(after, "fault", "heal"); err != nil {
			return err
		}
	}
	fmt.Fprintf(n.out, "%s %s, for %v\n", begin.UTC().Format(time.TimeOnly), e, time.Since(begin).Round(time.Millisecond))
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// An event is a command that breaks something or moves the primary, how long it
// lasts, and how long the world has rest after it.
type event struct {
	args        []string
	lasts, rest time.Duration
}

func (e event) String() string { return strings.Join(e.args, " ") }

// draw picks what happens next in a world that is whole and has at least two
// regions and three edges. The same r and the same status make the same event.
func draw(r *rand.Rand, s client.Status) event {
	var seconds, places []string
	primary := primary(s)
	for _, g := range s.Regions {
		if g.Name != primary {
			seconds = append(seconds, g.Name)
		}
	}
	second := seconds[r.IntN(len(seconds))]
	for _, e := range s.Edges {
		if e.Name != primary && e.Name != second {
			places = append(places, e.Name)
		}
	}
	place := places[r.IntN(len(places))]
	kinds := [][]string{
		{"fault", "down", second},
		{"fault", "pause", second},
		{"fault", "cut", second, primary},
		{"fault", "cut", place, second},
		{"fault", "slow", "--by", "200ms", place, primary},
		{"fault", "slow", "--by", "300ms", second, primary},
		{"switchover", "--yes", second},
	}
	return event{
		args:  kinds[r.IntN(len(kinds))],
		lasts: time.Duration(2000+r.IntN(13000)) * time.Millisecond,
		rest:  time.Duration(1000+r.IntN(9000)) * time.Millisecond,
	}
}
