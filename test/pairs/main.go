// Command pairs writes and at once reads again, very often, and counts the
// reads that are older than the write before them. None may be.
//
//	go run ./test/pairs --binary bin/meridian --count 1000000
//
// The pairs are of four kinds: on one connection of a secondary's database
// proxy; and by HTTP with a browser's cookies, over another connection, at the
// edge of another place, and in another region. It ends with status 1 if a
// read was stale. --consistency eventual, and an environment with
// MERIDIAN_TEST_IGNORE_CONSISTENCY=1, show what it looks like without guards.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"meridian/client"
	"meridian/test/operator"
)

type settings struct {
	count       int
	workers     int
	consistency string
	late        time.Duration
	http        bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pairs:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("pairs", flag.ContinueOnError)
	binary := flags.String("binary", "bin/meridian", "the meridian to run")
	file := flags.String("file", "examples/conduit/meridian.yaml", "the world's file: the Conduit example, or any with a database and --http=false")
	state := flags.String("state", "", "the state `folder` of a world that is up; default: one of its own")
	block := flags.Int("block", 0, "the world of its own uses 127.`N`.0.0/16; 0: the first that is free")
	flags.IntVar(&s.count, "count", 1_000_000, "pairs in all")
	flags.IntVar(&s.workers, "workers", 32, "of each kind, at once")
	flags.StringVar(&s.consistency, "consistency", "", "what the connections of the first kind ask for; default: the database's own")
	flags.DurationVar(&s.late, "late", 0, "slow the links between the primary and the other regions by so much a round trip")
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

// A tally is what became of the pairs of one kind.
type tally struct {
	kind  string
	mu    sync.Mutex // guards what follows
	pairs int
	stale int
	first string // stale read
	err   error  // the first
}

func (t *tally) add(pairs, stale int, what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pairs, t.stale = t.pairs+pairs, t.stale+stale
	if t.first == "" {
		t.first = what
	}
	if t.err == nil {
		t.err = err
	}
}

// A worker makes n pairs of one kind.
type worker func(ctx context.Context, n int, t *tally)

// pairs divides the pairs among the kinds and their workers.
func pairs(ctx context.Context, w operator.World, s settings, out io.Writer) error {
	status, err := w.Status(ctx)
	if err != nil {
		return err
	}
	if s.late > 0 {
		if err := slow(ctx, w, status, s.late); err != nil {
			return err
		}
		defer w.Run(context.WithoutCancel(ctx), "fault", "heal") // of a world that goes on; if it fails, so does whoever uses it next
	}
	kinds, err := connections(ctx, status, s.consistency)
	if err != nil {
		return err
	}
	if s.http {
		more, err := doors(ctx, status)
		if err != nil {
			return err
		}
		kinds = append(kinds, more...)
	}
	began := time.Now()
	var wait sync.WaitGroup
	for _, k := range kinds {
		share := s.count / len(kinds)
		each := max(1, share/s.workers)
		for left := share; left > 0; left -= each {
			wait.Go(func() { k.work(ctx, min(each, left), k.tally) })
		}
	}
	wait.Wait()
	return report(kinds, time.Since(began), out)
}

// A kind is a way to write and to read again.
type kind struct {
	*tally
	work worker
}

func report(kinds []kind, took time.Duration, out io.Writer) (err error) {
	all, stale := 0, 0
	for _, k := range kinds {
		fmt.Fprintf(out, "%-44s %8d pairs, %d stale %s\n", k.kind, k.pairs, k.stale, k.first)
		all, stale = all+k.pairs, stale+k.stale
		if k.err != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", k.kind, k.err))
		}
	}
	fmt.Fprintf(out, "%d write-read pairs in %v, %d stale\n", all, took.Round(time.Second), stale)
	if stale > 0 {
		err = errors.Join(fmt.Errorf("%d stale reads", stale), err)
	}
	return err
}

// slow makes the primary's changes late everywhere else.
func slow(ctx context.Context, w operator.World, s client.Status, by time.Duration) error {
	for _, a := range s.Regions {
		for _, b := range s.Regions {
			if !a.Primary || b.Primary {
				continue
			}
			if _, err := w.Run(ctx, "fault", "slow", a.Name, b.Name, "--by", by.String()); err != nil {
				return err
			}
		}
	}
	return nil
}
