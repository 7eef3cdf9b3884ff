// Command soak runs a world under mixed load from all edges for a while, and
// shows that nothing grows: no goroutines, no open files, no memory.
//
//	go run ./test/soak --binary bin/meridian --duration 30m --faults
//
// It takes a first sample after a warm-up, a last one after the load has ended
// and the world has been quiet, and fails if a node has grown in between, or
// if a request failed. With --faults something in the world is broken most of
// the time, or the primary moves: then an answer that says so is no failure, a
// wrong one is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"meridian/client"
	"meridian/test/operator"
)

func main() { operator.Main("soak", command) }

// settings are what a soak is asked for.
type settings struct {
	warm, duration, quiet time.Duration
	rate                  int
	faults                bool
	seed                  uint64
}

func command(ctx context.Context, args []string, out io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "examples/conduit/meridian.yaml", "the world's file")
	flags.DurationVar(&s.warm, "warm", time.Minute, "load before the first sample")
	flags.DurationVar(&s.duration, "duration", 10*time.Minute, "load between the samples")
	flags.DurationVar(&s.quiet, "quiet", 15*time.Second, "silence before each sample")
	flags.IntVar(&s.rate, "rate", 20, "requests a second")
	flags.BoolVar(&s.faults, "faults", false, "break and mend parts of the world meanwhile, and move the primary")
	flags.Uint64Var(&s.seed, "seed", uint64(time.Now().Unix()), "the faults are drawn from it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w, end, err := operator.Up(ctx, *binary, *file, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return s.soak(ctx, w, out)
}

// soak loads a world twice, and compares what its nodes hold.
func (s settings) soak(ctx context.Context, w operator.World, out io.Writer) error {
	first, err := s.loaded(ctx, w, s.warm, out, nil)
	if err != nil {
		return err
	}
	var n *nemesis
	if s.faults {
		fmt.Fprintf(out, "seed %d\n", s.seed)
		n = newNemesis(w, s.seed, out)
	}
	last, err := s.loaded(ctx, w, s.duration, out, n)
	if err != nil {
		return err
	}
	return compare(out, first, last)
}

// loaded runs the load program while n, which may be nil, breaks things; waits
// for silence, and samples every node.
func (s settings) loaded(ctx context.Context, w operator.World, d time.Duration, out io.Writer, n *nemesis) (map[string]sample, error) {
	status, err := w.Status(ctx)
	if err != nil {
		return nil, err
	}
	breaking, stop := context.WithTimeout(ctx, d)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- n.run(breaking, status) }()
	err = s.load(ctx, w, d, out)
	stop()
	if err := errors.Join(err, <-done, home(ctx, w, status)); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.quiet):
	}
	return samples(ctx, status)
}

// home moves the primary back to where it was: a primary's node holds more than a
// standby's.
func home(ctx context.Context, w operator.World, was client.Status) error {
	now, err := w.Status(ctx)
	if err != nil || primary(now) == primary(was) {
		return err
	}
	_, err = w.Run(ctx, "switchover", "--yes", primary(was))
	return err
}

func primary(s client.Status) string {
	for _, g := range s.Regions {
		if g.Primary {
			return g.Name
		}
	}
	return ""
}

// load runs the load program.
func (s settings) load(ctx context.Context, w operator.World, d time.Duration, out io.Writer) error {
	text, err := w.Run(ctx, "status", "--json")
	if err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(w.State), "status.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./test/load", "--status", file, "--duration", d.String(), "--rate", strconv.Itoa(s.rate), "--faults="+strconv.FormatBool(s.faults))
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

// whole waits until nothing of a world is broken.
func whole(ctx context.Context, w operator.World, patience time.Duration) (s client.Status, err error) {
	err = operator.Until(ctx, patience, func(ctx context.Context) (err error) {
		if s, err = w.Status(ctx); err == nil {
			err = operator.Whole(s)
		}
		return err
	})
	return s, err
}
