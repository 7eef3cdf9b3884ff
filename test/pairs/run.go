package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A kind is a way to write and to read again.
type kind struct {
	name  string
	times int // how many times the phase's workers make them
	// open begins one worker's pairs.
	open func(ctx context.Context, rng *rand.Rand) (pairer, error)
}

// A pairer makes the pairs of one worker: it alone writes its row.
type pairer interface {
	// pair writes and reads once. stale says what was wrong with what was read,
	// if it was older than what was written; an error means that either failed.
	pair(ctx context.Context) (stale string, err error)
	close()
}

// A tally is what became of the pairs of one kind.
type tally struct {
	mu     sync.Mutex // guards what follows
	pairs  int
	stale  int
	failed int
	took   time.Duration // of all pairs
	first  string        // stale read
	err    error         // the first
}

func (t *tally) add(took time.Duration, stale string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		t.failed++
		if t.err == nil {
			t.err = err
		}
		return
	case stale != "":
		t.stale++
		if t.first == "" {
			t.first = stale
		}
	}
	t.pairs++
	t.took += took
}

// A phase is a number of pairs under one condition.
type phase struct {
	name    string
	count   int
	workers int // of each kind
	seed    uint64
}

// failures is how many pairs may fail, out of how many: a fault of the network
// or a machine with too much to do fails a request, and no promise is broken.
const failures = 1000

// run makes the pairs. The kinds take them from one heap, so that the slow ones
// do not hold up the others; every kind makes some.
func (p phase) run(ctx context.Context, kinds []kind, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left, failed atomic.Int64
	left.Store(int64(p.count))
	tallies := make([]tally, len(kinds))
	began := time.Now()
	var wait sync.WaitGroup
	for i, k := range kinds {
		for n := range k.times * p.workers {
			wait.Go(func() {
				rng := rand.New(rand.NewPCG(p.seed, uint64(i<<32+n)))
				for ctx.Err() == nil && left.Load() > 0 {
					err := p.work(ctx, k, rng, &left, &tallies[i])
					if err == nil || ctx.Err() != nil {
						return
					}
					left.Add(1)
					if failed.Add(1) > int64(max(p.count/failures, 20)) {
						cancel(fmt.Errorf("too many pairs fail: %s: %w", k.name, err))
					}
				}
			})
		}
	}
	wait.Wait()
	err := p.report(kinds, tallies, time.Since(began), out)
	return errors.Join(err, context.Cause(ctx))
}

// work makes pairs until none is left, or one fails: it is not known then what
// the row holds, so the worker begins anew.
func (p phase) work(ctx context.Context, k kind, rng *rand.Rand, left *atomic.Int64, t *tally) error {
	open, err := k.open(ctx, rng)
	if err != nil {
		left.Add(-1)
		t.add(0, "", err)
		return err
	}
	defer open.close()
	for left.Add(-1) >= 0 {
		began := time.Now()
		stale, err := open.pair(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if t.add(time.Since(began), stale, err); err != nil {
			return err
		}
	}
	return nil
}

func (p phase) report(kinds []kind, tallies []tally, took time.Duration, out io.Writer) error {
	var errs []error
	all, stale, failed := 0, 0, 0
	for i, k := range kinds {
		t := &tallies[i]
		mean := time.Duration(0)
		if t.pairs > 0 {
			mean = t.took / time.Duration(t.pairs)
		} else {
			errs = append(errs, fmt.Errorf("%s: not one pair was made", k.name))
		}
		fmt.Fprintf(out, "%-52s %8d pairs, mean %5d ms, %d failed, %d stale %s\n", k.name, t.pairs, mean.Milliseconds(), t.failed, t.stale, t.first)
		if t.err != nil {
			fmt.Fprintf(out, "  first failure: %v\n", t.err)
		}
		all, stale, failed = all+t.pairs, stale+t.stale, failed+t.failed
	}
	fmt.Fprintf(out, "%s: %d write-read pairs in %v, seed %d, %d failed, %d stale\n", p.name, all, took.Round(time.Second), p.seed, failed, stale)
	if stale > 0 {
		errs = append(errs, fmt.Errorf("%s: %d stale reads", p.name, stale))
	}
	return errors.Join(errs...)
}
