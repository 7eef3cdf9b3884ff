// Command episodes plays short stories of trouble on a world of three regions,
// and compares what its clients were told with what is promised.
//
//	go run ./test/episodes --binary bin/meridian --episodes 30 --seed 1
//
// In an episode clients in all regions append to lists, write registers and
// keep a ledger, while regions die, links break and the primary moves. Then
// all is healed, and the histories are judged: what a session sees, what was
// acknowledged and is gone, what was executed twice, who acknowledged when. It
// ends with status 1 if any episode violates a promise. Seed and number of an
// episode give its faults and its clients' operations; what meets what depends
// on the machine as well.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"meridian"
	"meridian/test/operator"
)

func main() { operator.Main("episodes", command) }

func command(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("episodes", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "test/episodes/testdata/world.yaml", "the world's file, with three regions and a database")
	state := flags.String("state", "", "the state `folder` of a world that is up; default: one of its own")
	block := flags.Int("block", 0, "the world of its own uses 127.`N`.0.0/16; 0: the first that is free")
	episodes := flags.Int("episodes", 30, "how many")
	first := flags.Uint64("first", 0, "the number of the first, to play one again")
	list := flags.String("faults", "planned", "all, planned, none, or some of down, pause, cut, oneway, slow, sleep, switchover, kill, freeze, isolate")
	flags.Uint64Var(&s.seed, "seed", uint64(time.Now().Unix()), "the faults and the operations are drawn from it")
	flags.DurationVar(&s.length, "duration", 6*time.Second, "how long clients are busy in each episode")
	flags.IntVar(&s.clients, "clients", 3, "in each region")
	flags.Func("durability", "of the database: async, quorum, sync: REGION or rpo: TIME; with quorum and sync nothing that was acknowledged may be lost", func(text string) (err error) {
		s.durability, err = meridian.ParseDurability(text)
		return err
	})
	flags.StringVar(&s.out, "out", os.TempDir()+"/episodes", "`folder` for the histories of violations, and the nodes' logs up to then")
	err := flags.Parse(args)
	if err != nil {
		return err
	}
	if s.faults, err = parseFaults(*list); err != nil {
		return err
	}
	up := func() (operator.World, func() error, error) { return operator.Up(ctx, *binary, *file, *block) }
	if *state != "" {
		up = func() (operator.World, func() error, error) {
			return operator.World{Binary: *binary, State: *state}, func() error { return nil }, nil
		}
	}
	return series(ctx, up, s, *first, *episodes, out)
}

// series plays n episodes one after another, in one world until it does not
// recover, and then in another.
func series(ctx context.Context, up func() (operator.World, func() error, error), s settings, first uint64, n int, out io.Writer) error {
	began := time.Now()
	var bad []string
	var trail string
	last := first + uint64(n)
	for i := first; i < last; {
		w, end, err := up()
		if err != nil {
			return err
		}
		if err = prepare(ctx, w); err != nil {
			return errors.Join(err, end())
		}
		if s.durability != (meridian.Durability{}) {
			if _, err := w.Run(ctx, "durability", "--yes", s.durability.String()); err != nil {
				return errors.Join(err, end())
			}
		}
		for whole := true; i < last && whole; i++ {
			v, err := play(ctx, w, s, i, out)
			if err != nil || ctx.Err() != nil {
				return errors.Join(fmt.Errorf("episode %d of seed %d, with %d bad before it: %w", i, s.seed, len(bad), errors.Join(err, ctx.Err())), end())
			}
			if whole = v.whole; len(v.violations) > 0 {
				bad, trail = append(bad, fmt.Sprintf("%d: %s", i, v.violations[0])), cmp.Or(trail, lastWords(w.State))
			}
		}
		if err := end(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d episodes of seed %d in %v: %d violate a promise\n", n, s.seed, time.Since(began).Round(time.Second), len(bad))
	if len(bad) > 0 {
		return fmt.Errorf("violations in episodes of seed %d; play one again with --seed %d --first N --episodes 1; histories and logs are in %s\n  %s\nthe nodes' last words after the first:\n%s",
			s.seed, s.seed, s.out, strings.Join(bad, "\n  "), trail)
	}
	return nil
}
