// Command latency measures what writes, and reads of each consistency, cost from
// a region that is not the primary's, against the round trip between the two:
// the promises of the database guide.
//
//	go run ./test/bench/latency --binary bin/meridian
//
// Each is measured --count times, one after the other and in turns, in a world
// of its own with the delays of real links. A machine with too much to do shows
// more than the program costs: --judge ends with status 1 if a median is over
// its goal, and is for a quiet one.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"meridian/client"
	"meridian/internal/wan"
	"meridian/test/operator"
)

func main() { operator.Main("latency", command) }

func command(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "test/pairs/testdata/world.yaml", "the world's file: that of the pairs")
	from := flags.String("from", "eu-west-1", "the `region` that writes")
	count := flags.Int("count", 40, "measurements of each")
	judge := flags.Bool("judge", false, "fail if a median is over its goal")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w, end, err := operator.Up(ctx, *binary, *file, 0)
	if err != nil {
		return err
	}
	defer func() {
		if e := end(); err == nil {
			err = e
		}
	}()
	s, err := w.Status(ctx)
	if err != nil {
		return err
	}
	rtt, err := roundTrip(s, *from)
	if err != nil {
		return err
	}
	ways, end2, err := open(ctx, s, *from)
	if err != nil {
		return err
	}
	defer end2()
	took, err := measure(ctx, ways, *count)
	if err != nil {
		return err
	}
	return report(out, *from, rtt, ways, took, *judge)
}

// roundTrip returns that of the world's links between a region and the primary.
func roundTrip(s client.Status, from string) (time.Duration, error) {
	i := slices.IndexFunc(s.Regions, func(r client.Region) bool { return r.Primary })
	if i < 0 || s.Regions[i].Name == from {
		return 0, fmt.Errorf("want a primary in another region than %s", from)
	}
	a, ok1 := wan.Lookup(from)
	b, ok2 := wan.Lookup(s.Regions[i].Name)
	if !ok1 || !ok2 {
		return 0, fmt.Errorf("want AWS region codes, found %s and %s", from, s.Regions[i].Name)
	}
	rtt, _ := wan.RTT(a, b)
	return rtt, nil
}

// A way is one thing that is measured.
type way struct {
	name  string
	trips int           // wide-area round trips that it must cost
	goal  time.Duration // over those; 0 is none
	do    func(context.Context) error
}

// warmUp is how often each is done before it counts: a route is learned by then.
const warmUp = 20

// measure does everything in turns, so that a slow moment hits all alike.
func measure(ctx context.Context, ways []way, count int) ([][]time.Duration, error) {
	took := make([][]time.Duration, len(ways))
	for n := range warmUp + count {
		for i, w := range ways {
			began := time.Now()
			if err := w.do(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if n >= warmUp {
				took[i] = append(took[i], time.Since(began))
			}
		}
	}
	return took, nil
}

func report(out io.Writer, from string, rtt time.Duration, ways []way, took [][]time.Duration, judge bool) (err error) {
	fmt.Fprintf(out, "from %s, a round trip of %v to the primary, %d measurements of each\n", from, rtt, len(took[0]))
	for i, w := range ways {
		slices.Sort(took[i])
		at := func(q float64) time.Duration { return took[i][int(q*float64(len(took[i])-1))] }
		over := at(0.5) - time.Duration(w.trips)*rtt
		verdict := "-"
		if w.goal > 0 {
			verdict = fmt.Sprintf("goal %v", w.goal)
			if over > w.goal {
				verdict += ", missed"
				if judge && err == nil {
					err = fmt.Errorf("%s: %v over %d round trips at the median, want %v", w.name, over, w.trips, w.goal)
				}
			}
		}
		fmt.Fprintf(out, "%-54s least %6.1f  p50 %6.1f  p90 %6.1f ms, p50 is %d RTT + %5.1f ms (%s)\n", w.name, ms(at(0)), ms(at(0.5)), ms(at(0.9)), w.trips, ms(over), verdict)
	}
	return err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
