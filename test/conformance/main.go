// Conformance runs other projects' test suites against PostgreSQL itself, and
// again through Meridian's proxy in the primary's region and in a secondary's,
// and lists the tests that do not end alike.
//
//	go run ./test/conformance                 pgx's own suite, from the module cache
//	go run ./test/conformance -suite pq       another driver's: pq, pgconn, pgx4, pgtype, pgdriver, gopg
//	go run ./test/conformance -programs .     our own programs on other languages' drivers: a pattern of names
//	go run ./test/conformance -- CMD ARG...   any command, with PGHOST and its kin
//
// The other region is as far away as -rtt says. PostgreSQL is real, and new.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	rtt := flag.Duration("rtt", 2*time.Millisecond, "the round trip between the two regions")
	only := flag.String("only", "", "one of direct, primary, secondary; default: all, compared")
	name := flag.String("suite", "pgx", "the driver whose suite is run: pgx, pq, pgconn, pgx4, pgtype, pgdriver, gopg")
	run := flag.String("run", "", "the tests of the suite to run, as go test -run says them")
	names := flag.String("programs", "", "instead: the programs of "+programs+" whose names match")
	consistency := flag.String("consistency", "session", "what reads are promised")
	pooling := flag.String("pooling", "session", "session or transaction")
	transactions := flag.String("transactions", "", "what the proxies' clients set meridian.transactions to as they log in, without TLS: lazy")
	lag := flag.Duration("lag", 0, "how far the standby is behind in what it shows")
	keep := flag.Bool("keep", false, "print how to reach each way, and wait for a signal")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := func(r *rig) error { return suite(ctx, r.chosen(*only), *name, *run) }
	switch {
	case *keep:
		work = func(r *rig) error { return r.wait(ctx) }
	case *names != "":
		work = func(r *rig) error { return runPrograms(ctx, r.chosen(*only), regexp.MustCompile(*names)) }
	case flag.NArg() > 0:
		work = func(r *rig) error { return each(ctx, r.chosen(*only), flag.Args()) }
	}
	if err := conform(ctx, options{*rtt, *lag, *consistency, *pooling, *transactions}, work); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		stop()
		os.Exit(1)
	}
}

// options are what may be chosen of the two regions.
type options struct {
	rtt, lag    time.Duration
	consistency string
	pooling     string // session or transaction

	transactions string
}

func conform(ctx context.Context, o options, work func(*rig) error) error {
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	return work(r)
}

// wait prints the ways, and lets others use them.
func (r *rig) wait(ctx context.Context) error {
	for _, w := range r.ways {
		fmt.Printf("%s\t%s\n", w.name, w.url())
	}
	<-ctx.Done()
	return nil
}

// each runs a command once for each way.
func each(ctx context.Context, ways []way, command []string) error {
	var failed error
	for _, w := range ways {
		fmt.Printf("== %s\n", w.name)
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), w.environment()...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			failed = fmt.Errorf("%s: %w", w.name, err)
			fmt.Println(failed)
		}
	}
	return failed
}
