// Command pairs writes and at once reads again, very often, and counts the
// reads that are older than the write before them. None may be.
//
//	go run ./test/pairs --binary bin/meridian --count 1000000
//
// The pairs are of these kinds: on one connection of a secondary's database
// proxy; and by HTTP as one caller, over another connection, at the edge of
// another place, and in another region, with a cookie or the header. A part of
// them is made while every standby replays 2 s late. It ends with status 1 if a
// read was stale. --consistency eventual, and an environment with
// MERIDIAN_TEST_IGNORE_CONSISTENCY=1, show what it looks like without guards.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"meridian/client"
	"meridian/test/operator"
)

type settings struct {
	count       int
	workers     int
	consistency string
	seed        uint64
	lag         time.Duration
	lagged      float64
	http        bool
}

func main() { operator.Main("pairs", command) }

func command(ctx context.Context, args []string, out io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("pairs", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "test/pairs/testdata/world.yaml", "the world's file: this one, or any with a database and --http=false")
	state := flags.String("state", "", "the state `folder` of a world that is up; default: one of its own")
	block := flags.Int("block", 0, "the world of its own uses 127.`N`.0.0/16; 0: the first that is free")
	flags.IntVar(&s.count, "count", 1_000_000, "pairs in all")
	flags.IntVar(&s.workers, "workers", 24, "of each kind by HTTP, at once; four times as many of each kind on one connection")
	flags.Uint64Var(&s.seed, "seed", 0, "decides in which ways connections write and read; 0: one by chance")
	flags.StringVar(&s.consistency, "consistency", "", "what the connections of the first kind ask for; default: the database's own")
	flags.DurationVar(&s.lag, "lag", 2*time.Second, "how late standbys replay in the second part")
	flags.Float64Var(&s.lagged, "lagged", 0.2, "the second part's share of the pairs")
	flags.BoolVar(&s.http, "http", true, "ask by HTTP as well")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w := operator.World{Binary: *binary, State: *state}
	if *state == "" {
		up, end, err := operator.Up(ctx, *binary, *file, *block)
		if err != nil {
			return err
		}
		defer func() {
			if err := end(); err != nil {
				fmt.Fprintln(os.Stderr, "pairs:", err)
			}
		}()
		w = up
	}
	return pairs(ctx, w, s, out)
}

// pairs makes the pairs of both parts.
func pairs(ctx context.Context, w operator.World, s settings, out io.Writer) error {
	status, err := w.Status(ctx)
	if err != nil {
		return err
	}
	kinds, err := connections(ctx, status, s.consistency)
	if err != nil {
		return err
	}
	if s.http {
		more, close, err := doors(status)
		if err != nil {
			return err
		}
		defer close()
		kinds = append(kinds, more...)
	}
	if s.seed == 0 {
		s.seed = rand.Uint64() | 1
	}
	late := int(s.lagged * float64(s.count))
	p := phase{"replay at its own pace", s.count - late, s.workers, s.seed}
	if err = p.run(ctx, kinds, out); late == 0 || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, lagging(ctx, w, status, s.lag, phase{fmt.Sprintf("replay %v late", s.lag), late, s.workers, s.seed + 1}, kinds, out))
}

// lagging makes pairs while replay is late, and checks that it was.
func lagging(ctx context.Context, w operator.World, status client.Status, lag time.Duration, p phase, kinds []kind, out io.Writer) (err error) {
	if err := delay(ctx, w, status, lag); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, delay(context.WithoutCancel(ctx), w, status, 0)) }()
	watch, stop := context.WithCancel(ctx)
	defer stop()
	seen := make(chan map[string]time.Duration, 1)
	go func() { seen <- watchLag(watch, w) }()
	err = p.run(ctx, kinds, out)
	stop()
	for region, most := range <-seen {
		fmt.Fprintf(out, "%s was %v behind at most\n", region, most)
		if most < lag/2 {
			err = errors.Join(err, fmt.Errorf("%s was never %v behind: the part shows nothing", region, lag/2))
		}
	}
	return err
}
