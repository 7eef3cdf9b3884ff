package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"meridian/client"
	"meridian/test/operator"
)

// Settings say what the rounds are like.
type settings struct {
	count   int
	clients int
	pace    time.Duration
	rest    time.Duration
	noisy   bool
	promise func(from, to string) time.Duration
}

// longest is the longest pause that is promised, at the 99th percentile.
const longest = time.Second

// A round is one switchover.
type round struct {
	from, to string
	pause    time.Duration // from the last write that the old primary takes to the first that the new one may
	gap      time.Duration // without an acknowledgement to any client
	killed   int
	frozen   string // the region that was, or ""
}

// leadFollows is how long after a move the store's leader is where the primary
// is: a frozen leader is a fault of its own, which costs the primary its lease.
const leadFollows = 8 * time.Second

const patience = 30 * time.Second // for one step of a round

// run makes the rounds and judges them.
func run(ctx context.Context, w operator.World, s settings, out io.Writer) error {
	status, err := w.Status(ctx)
	if err != nil {
		return err
	}
	l, err := newLoad(ctx, status, s)
	if err != nil {
		return err
	}
	load, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() { l.work(load) })
	rounds, err := s.rounds(ctx, w, l, out)
	stop()
	working.Wait()
	if err != nil {
		return err
	}
	there, err := l.there(ctx)
	if err != nil {
		return err
	}
	wrong := append(l.judge(there), s.judge(rounds, out)...)
	fmt.Fprintf(out, "%d switchovers, %d writes acknowledged and %d there, %d sessions that could not move were ended and came back\n",
		len(rounds), len(l.acked), len(there), l.ended.Load())
	return errors.Join(wrong...)
}

// rounds moves the primary again and again, to each other region in turn.
func (s settings) rounds(ctx context.Context, w operator.World, l *load, out io.Writer) (rounds []round, err error) {
	for i := range s.count {
		status, err := w.Status(ctx)
		if err != nil {
			return rounds, err
		}
		from, others := roles(status)
		if len(others) != 2 {
			return rounds, fmt.Errorf("round %d: want one primary of three regions", i)
		}
		r := round{from: from, to: others[i/2%2]}
		if i == s.count/2 {
			r.frozen = others[1-i/2%2]
		}
		if err := r.make(ctx, w, l); err != nil {
			return rounds, fmt.Errorf("round %d, %s to %s: %w", i, r.from, r.to, err)
		}
		fmt.Fprintf(out, "%3d %s -> %s: paused for %v, clients for %v, %d ended %s\n", i, r.from, r.to, r.pause, r.gap.Round(time.Millisecond), r.killed, frozen(r.frozen))
		rounds = append(rounds, r)
		if err := l.settle(ctx, w, s.rest); err != nil {
			return rounds, fmt.Errorf("after round %d: %w", i, err)
		}
	}
	return rounds, nil
}

func frozen(region string) string {
	if region == "" {
		return ""
	}
	return "while " + region + " was frozen"
}

// said is what the command says of a move.
var said = regexp.MustCompile(`writes paused for (\S+), (\d+) sessions`)

// make makes one round. The clients of a region that is frozen rest meanwhile.
func (r *round) make(ctx context.Context, w operator.World, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if r.frozen != "" {
		l.hold(r.frozen, true)
		if err := l.settle(ctx, w, leadFollows); err != nil {
			return err
		}
		if _, err := w.Run(ctx, "fault", "pause", r.frozen); err != nil {
			return err
		}
	}
	begin := l.now()
	answer, err := w.Run(ctx, "switchover", r.to, "--yes")
	if err != nil {
		return err
	}
	m := said.FindStringSubmatch(answer)
	if m == nil {
		return fmt.Errorf("switchover says %q", answer)
	}
	if r.pause, err = time.ParseDuration(m[1]); err != nil {
		return err
	}
	r.killed, _ = strconv.Atoi(m[2])
	if r.gap, err = l.gap(ctx, begin); err != nil {
		return err
	}
	if r.frozen != "" {
		if _, err := w.Run(ctx, "fault", "heal", r.frozen); err != nil {
			return err
		}
		if err := l.settle(ctx, w, 0); err != nil { // its links are made anew
			return err
		}
		l.hold(r.frozen, false)
	}
	return nil
}

// roles returns the primary, if there is one, and the others in order.
func roles(s client.Status) (primary string, others []string) {
	for _, r := range s.Regions {
		if r.Primary {
			primary = r.Name
		} else {
			others = append(others, r.Name)
		}
	}
	return primary, others
}

// judge prints the pauses of each pair of regions, and says which are too long.
func (s settings) judge(rounds []round, out io.Writer) (wrong []error) {
	pairs := map[[2]string][]round{}
	for _, r := range rounds {
		key := [2]string{min(r.from, r.to), max(r.from, r.to)}
		pairs[key] = append(pairs[key], r)
	}
	fmt.Fprintf(out, "%-34s %5s %9s %9s %9s %11s %6s\n", "between", "moves", "p50", "p99", "promised", "clients p50", "ended")
	for _, key := range sortedKeys(pairs) {
		all := pairs[key]
		var pauses, gaps []time.Duration
		killed := 0
		for _, r := range all {
			pauses, gaps, killed = append(pauses, r.pause), append(gaps, r.gap), killed+r.killed
		}
		half, most, promised := quantile(pauses, 0.5), quantile(pauses, 0.99), s.promise(key[0], key[1])
		fmt.Fprintf(out, "%-34s %5d %9v %9v %9v %11v %6d\n", key[0]+", "+key[1], len(all), half, most, promised, quantile(gaps, 0.5).Round(time.Millisecond), killed)
		if !s.noisy && (half > promised || most > longest) {
			wrong = append(wrong, fmt.Errorf("between %s and %s writes paused for %v at the median and %v at the 99th percentile, longer than %v and %v", key[0], key[1], half, most, promised, longest))
		}
	}
	return wrong
}

func sortedKeys(m map[[2]string][]round) (keys [][2]string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// quantile returns the value that a share of all are not above.
func quantile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(share*float64(len(all))))]
}
