// Command switchovers moves the primary many times in a row while clients of
// all regions write, and says what that cost them.
//
//	go run ./test/switchovers --binary bin/meridian --count 50
//
// In the middle of the rounds one is made while the third region is frozen. In
// each region one more client holds a temporary table, which cannot move: it is
// ended and counted, and comes back. The command ends with status 1 if any
// other client saw an error, if a write that was acknowledged is not there, or
// if a pause was longer than what is promised and --noisy was not given.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"time"

	"meridian"
	"meridian/config"
	"meridian/internal/wan"
	"meridian/test/operator"
)

func main() { operator.Main("switchovers", command) }

func command(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("switchovers", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "test/episodes/testdata/world.yaml", "the world's file, with three regions and a database")
	block := flags.Int("block", 0, "the world of its own uses 127.`N`.0.0/16; 0: the first that is free")
	var s settings
	flags.IntVar(&s.count, "count", 50, "how many")
	flags.IntVar(&s.clients, "clients", 2, "that write, in each region")
	flags.DurationVar(&s.pace, "pace", 25*time.Millisecond, "between a client's writes")
	flags.DurationVar(&s.rest, "rest", time.Second, "between rounds")
	flags.BoolVar(&s.noisy, "noisy", false, "the machine is busy with other things: a pause that is too long is told, and no failure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.promise, err = promises(*file); err != nil {
		return err
	}
	w, end, err := operator.Up(ctx, *binary, *file, *block)
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, w, s, out), end())
}

// promises returns the pause that is promised for a move from one region of a
// file to another: at the median, 300 ms and two round trips.
func promises(file string) (func(from, to string) time.Duration, error) {
	f, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	return func(from, to string) time.Duration {
		a, _ := f.Place(meridian.Region(from))
		b, _ := f.Place(meridian.Region(to))
		rtt, _ := wan.RTT(a, b)
		return (300*time.Millisecond + 2*rtt).Round(time.Millisecond)
	}, nil
}
