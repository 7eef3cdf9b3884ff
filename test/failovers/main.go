// Command failovers loses the primary's region in each way that it can be lost,
// again and again, and measures for how long no other region could write.
//
//	go run ./test/failovers --binary bin/meridian --rounds 3 --seed 1
//
// The time counts from the command that breaks the world to the first write
// that is acknowledged in each of the regions that are left. It ends with status
// 1 if a loss took longer than --most. The figures are those of this machine at
// this load: an idle one tells what the program does.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/client"
	"meridian/test/operator"
)

func main() { operator.Main("failovers", command) }

// A settings is what an operator may say.
type settings struct {
	rounds int
	seed   uint64
	kinds  []string
	most   time.Duration
}

func command(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("failovers", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "test/episodes/testdata/world.yaml", "the world's file, with three regions and a database")
	list := flags.String("kinds", strings.Join(kinds, ","), "how the primary's region is lost")
	flags.IntVar(&s.rounds, "rounds", 3, "losses of each kind")
	flags.Uint64Var(&s.seed, "seed", uint64(time.Now().Unix()), "the order of the kinds and the moments are drawn from it")
	flags.DurationVar(&s.most, "most", 8*time.Second, "what a loss may take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.kinds = strings.Split(*list, ",")
	for _, k := range s.kinds {
		if !slices.Contains(kinds, k) {
			return fmt.Errorf("--kinds: found %q, expected some of %s", k, strings.Join(kinds, ", "))
		}
	}
	w, end, err := operator.Up(ctx, *binary, *file, 0)
	if err != nil {
		return err
	}
	err = series(ctx, w, s, out)
	if gone := end(); err == nil {
		err = gone
	}
	return err
}

// The kinds of loss.
const (
	kill      = "kill"      // kill -9 of the region and all below it
	freeze    = "freeze"    // SIGSTOP, and SIGCONT once another took over
	partition = "partition" // no bytes to or from the other regions
	mute      = "mute"      // nobody hears the region, which hears all
	deaf      = "deaf"      // the region hears nobody, all hear it
)

var kinds = []string{kill, freeze, partition, mute, deaf}

// breaking returns the commands that lose a region.
func breaking(kind, lost string, left []string) (out [][]string) {
	switch kind {
	case kill:
		return [][]string{{"fault", "down", lost}}
	case freeze:
		return [][]string{{"fault", "pause", lost}}
	}
	for _, o := range left {
		switch kind {
		case partition:
			out = append(out, []string{"fault", "cut", lost, o})
		case mute:
			out = append(out, []string{"fault", "cut", lost, o, "--one-way"})
		case deaf:
			out = append(out, []string{"fault", "cut", o, lost, "--one-way"})
		}
	}
	return out
}

const (
	// settled is how long a primary stays before it is lost: by then it leads
	// the store as well, which makes its loss the worst.
	settled = 7 * time.Second
	// caughtUp is how far a standby may be behind: one that still winds back, or
	// copies, is lost as well, and then nobody may take over.
	caughtUp = time.Second
	// give up a loss, or a recovery, that takes longer.
	patience = 90 * time.Second
)

func series(ctx context.Context, w operator.World, s settings, out io.Writer) error {
	fmt.Fprintf(out, "seed %d\n", s.seed)
	draw := rand.New(rand.NewPCG(s.seed, 0))
	took := map[string][]time.Duration{}
	for i := range s.rounds {
		order := slices.Clone(s.kinds)
		draw.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
		for _, kind := range order {
			d, err := lose(ctx, w, kind, settled+time.Duration(draw.Int64N(int64(time.Second))), out)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", i, kind, err)
			}
			took[kind] = append(took[kind], d)
			fmt.Fprintf(out, "round %d %-9s writes were back everywhere after %v\n", i, kind, d.Round(10*time.Millisecond))
		}
	}
	return report(out, s, took)
}

// lose loses the primary's region once, and heals it.
func lose(ctx context.Context, w operator.World, kind string, quiet time.Duration, out io.Writer) (time.Duration, error) {
	if _, err := whole(ctx, w); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(quiet):
	}
	s, err := whole(ctx, w) // again: a node that was cut off may just have named the primary of before
	if err != nil {
		return 0, err
	}
	var lost string
	var left []string
	var dsn []string
	for _, r := range s.Regions {
		if r.Primary {
			lost = r.Name
			continue
		}
		left, dsn = append(left, r.Name), append(dsn, r.Postgres)
	}
	begin := time.Now()
	for _, args := range breaking(kind, lost, left) {
		if _, err := w.Run(ctx, args...); err != nil {
			return 0, err
		}
	}
	back, err := writesBack(ctx, begin, left, dsn, out)
	if err != nil {
		return 0, err
	}
	_, err = w.Run(ctx, "fault", "heal")
	return back, err
}

// whole waits until each region is healthy and can write.
func whole(ctx context.Context, w operator.World) (s client.Status, err error) {
	err = operator.Until(ctx, patience, func(ctx context.Context) error {
		if s, err = w.Status(ctx); err == nil {
			err = operator.Whole(s)
		}
		for _, r := range s.Regions {
			if err == nil && !r.Primary && (r.ReplayLag < 0 || r.ReplayLag > caughtUp.Milliseconds()) {
				err = fmt.Errorf("%s is %d ms behind", r.Name, r.ReplayLag)
			}
			if err == nil {
				err = write(ctx, r.Postgres)
			}
		}
		return err
	})
	return s, err
}

// writesBack returns when the last of the regions that are left could write.
// What is written before the loss is noticed goes to a primary that still may
// take it, or to nobody; the lease of one that is lost ends it.
func writesBack(ctx context.Context, begin time.Time, left, dsn []string, out io.Writer) (time.Duration, error) {
	took, errs := make([]time.Duration, len(dsn)), make([]error, len(dsn))
	var all sync.WaitGroup
	for i, d := range dsn {
		all.Go(func() {
			errs[i] = first(ctx, d)
			took[i] = time.Since(begin)
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("no write in %s: %w", left[i], err)
		}
		fmt.Fprintf(out, "  %s %v", left[i], took[i].Round(10*time.Millisecond))
	}
	fmt.Fprintln(out)
	return slices.Max(took), nil
}

// first returns when a write was acknowledged. A new client tries each 200 ms,
// whatever became of those before: one that hangs must not hide that others no
// longer would.
func first(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	done := make(chan struct{}, 1)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		clients.Go(func() {
			if write(ctx, dsn) == nil {
				select {
				case done <- struct{}{}:
				default:
				}
			}
		})
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// write writes once over a connection of its own.
func write(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "CREATE TABLE IF NOT EXISTS beats (at timestamptz); INSERT INTO beats VALUES (now())")
	return err
}

// report prints what the losses of each kind took, and says if one took longer
// than it may.
func report(out io.Writer, s settings, took map[string][]time.Duration) error {
	var late []string
	fmt.Fprintf(out, "%-9s %6s %8s %8s %8s\n", "kind", "losses", "min", "p50", "max")
	for _, kind := range kinds {
		all := slices.Sorted(slices.Values(took[kind]))
		if len(all) == 0 {
			continue
		}
		lo, mid, hi := all[0], all[len(all)/2], all[len(all)-1]
		fmt.Fprintf(out, "%-9s %6d %8v %8v %8v\n", kind, len(all), lo.Round(10*time.Millisecond), mid.Round(10*time.Millisecond), hi.Round(10*time.Millisecond))
		if hi > s.most {
			late = append(late, kind)
		}
	}
	if len(late) > 0 {
		return fmt.Errorf("writes were away for more than %v after %s (seed %d)", s.most, strings.Join(late, ", "), s.seed)
	}
	return nil
}
