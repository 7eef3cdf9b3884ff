package postgres

import (
	"testing"
	"time"
)

func TestPaceOfProbesFollowsTheBound(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ bound, rtt, want time.Duration }{
		{2 * time.Second, 70 * ms, probeEvery}, // the steady pace does
		{250 * ms, 70 * ms, 90 * ms},
		{250 * ms, 230 * ms, 57500 * time.Microsecond}, // no more on their way than maxProbes
		{80 * ms, 70 * ms, 17500 * time.Microsecond},
		{70 * ms, 70 * ms, probeEvery}, // every read goes to the primary
		{20 * ms, time.Millisecond, 10 * ms},
	} {
		got := paceFor(c.bound, c.rtt)
		if got != c.want {
			t.Errorf("bound %v, round trip %v: every %v, want %v", c.bound, c.rtt, got, c.want)
		}
	}
}

// TestPaceIsTheTightestBoundsForAWhile: a wider bound does not slow it down, and
// ten seconds after the last such read it is the steady one again.
func TestPaceIsTheTightestBoundsForAWhile(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newProbe(&Proxy{deps: Deps{Now: func() time.Time { return now }}})
	const rtt = 50 * time.Millisecond
	expect := func(what string, want time.Duration) {
		t.Helper()
		if got := b.pace(rtt); got != want {
			t.Errorf("%s: every %v, want %v", what, got, want)
		}
	}
	expect("before any bounded read", probeEvery)
	b.bounded(250 * time.Millisecond)
	b.bounded(450 * time.Millisecond)
	expect("two bounds", paceFor(250*time.Millisecond, rtt))
	now = now.Add(boundKept)
	b.bounded(450 * time.Millisecond)
	expect("just before the end", paceFor(250*time.Millisecond, rtt))
	now = now.Add(time.Nanosecond)
	b.bounded(450 * time.Millisecond)
	expect("the wider one remains", paceFor(450*time.Millisecond, rtt))
	now = now.Add(boundKept + 1)
	expect("nobody reads", probeEvery)
}
