// Command purges measures how long a purge takes until all five edges of a world
// have applied it, and checks that none of them serves what was purged after
// that.
//
//	go run ./test/purges --binary bin/meridian --count 100
//
// It also has 10,000 clients miss the same object at once, at all edges, and
// counts what reaches a function. It ends with status 1 if an edge serves what
// was purged, if more than one request reaches a function, or if the 99th
// percentile of the purges is above one round trip and 50 ms, unless --noisy is
// given.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/internal/wan"
	"meridian/test/operator"
)

// slack is what a purge may take beyond a round trip, at the 99th percentile.
const slack = 50 * time.Millisecond

func main() { operator.Main("purges", command) }

func command(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("purges", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "test/purges/testdata/world.yaml", "the world's file")
	count := flags.Int("count", 100, "purges")
	misses := flags.Int("misses", 10_000, "clients that miss the same at once")
	noisy := flags.Bool("noisy", false, "the machine is busy with other things: a purge that takes too long is told, and no failure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	rtt, err := farthest(*file)
	if err != nil {
		return err
	}
	w, end, err := operator.Up(ctx, *binary, *file, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	d, err := open(ctx, w)
	if err != nil {
		return err
	}
	defer d.close()
	if err := herd(ctx, d, *misses, out); err != nil {
		return err
	}
	p99, err := measure(ctx, d, *count, rtt, out)
	if err == nil && p99 > rtt+slack && !*noisy {
		err = fmt.Errorf("the 99th percentile is %v, more than %v", p99.Round(time.Millisecond), rtt+slack)
	}
	return err
}

// farthest returns the median round trip from the control node, which stands
// where the primary is, to the edge that is farthest from it.
func farthest(file string) (most time.Duration, err error) {
	f, err := config.Load(file)
	if err != nil {
		return 0, err
	}
	from, _ := f.Place(f.Primary())
	for _, e := range f.Edges {
		to, _ := f.Place(meridian.Region(e))
		p50, _ := wan.RTT(from, to)
		most = max(most, p50)
	}
	return most, nil
}

// herd has n clients miss one object at the same time, spread over all edges.
func herd(ctx context.Context, d *doors, n int, out io.Writer) error {
	if _, err := d.everywhere(ctx, warm); err != nil { // what connections are made with
		return err
	}
	before, err := d.invocations(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	got, err := d.rush(ctx, "/objects/herd?wait=2000", n)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := d.invocations(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d misses at once at %d edges: %d answers, %d requests to functions, %v\n", n, len(d.edges), len(got), after-before, took.Round(time.Millisecond))
	if after-before != 1 || len(got) != 1 {
		return fmt.Errorf("%d misses made %d requests to functions and got %d different answers; expected 1 and 1", n, after-before, len(got))
	}
	return nil
}

// measure makes purges, each of an object that all edges have, and returns the
// 99th percentile of their times.
func measure(ctx context.Context, d *doors, count int, rtt time.Duration, out io.Writer) (p99 time.Duration, err error) {
	var took []time.Duration
	for i := range count {
		path := fmt.Sprintf("/objects/measured-%d", i)
		old, err := d.everywhere(ctx, path)
		if err != nil {
			return 0, err
		}
		done, err := d.admin.Purge(ctx, client.Purge{Items: []string{path}})
		if err != nil {
			return 0, err
		}
		if !done.Everywhere {
			return 0, fmt.Errorf("purge %d is not everywhere: %+v", i, done.Edges)
		}
		for _, e := range done.Edges {
			if e.Objects != 1 {
				return 0, fmt.Errorf("purge %d removed %d objects at %s; expected 1", i, e.Objects, e.Edge)
			}
		}
		took = append(took, done.Took)
		now, err := d.everywhere(ctx, path)
		if err != nil {
			return 0, err
		}
		for edge, body := range now {
			if body == old[edge] {
				return 0, fmt.Errorf("%s serves what purge %d removed", edge, i)
			}
		}
	}
	slices.Sort(took)
	at := func(p int) time.Duration { return took[max((len(took)*p+99)/100, 1)-1] } // nearest rank
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	fmt.Fprintf(out, "%d purges, everywhere after: p50 %v, p90 %v, p99 %v, max %v; the farthest edge is %v away (p50)\n",
		count, round(at(50)), round(at(90)), round(at(99)), round(took[len(took)-1]), round(rtt))
	return at(99), nil
}
