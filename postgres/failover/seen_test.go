package failover_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/failover"
)

// TestNoMarkGivesTwoTheRight draws clocks, delays and losses: whoever counts
// from its mark in a renewal, however late that is known, finds the lease over
// only when the holder does. Control: where the holder counts from the send, two
// have the right at once.
func TestNoMarkGivesTwoTheRight(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 7))
	within := func(most time.Duration) time.Duration { return time.Duration(draw.Int64N(int64(most))) }
	marked, overlaps := 0, 0
	for range 20000 {
		const holder, other = "iad", meridian.Region("dub") // times are the world's; each clock is as far off as drawn
		off := map[meridian.Region]time.Duration{holder: within(time.Hour), other: within(time.Hour)}
		asked := time.Hour + within(time.Second)
		told := asked + within(300*time.Millisecond)
		sent := told + within(2*time.Second)
		known := sent + within(10*time.Second)
		seen, from, _ := failover.Seen(map[meridian.Region]failover.Sighting{
			other: {Mark: failover.Mark{Boot: "b", At: told + off[other]}, Asked: asked + off[holder]},
		}, sent+off[holder])
		ends := from + failover.Lease - off[holder]
		counts := known // from the receipt
		if m, ok := seen[other]; ok {
			marked++
			counts = m.At - off[other]
		}
		if takes := counts + failover.Lease + failover.Drift; takes < ends {
			t.Fatalf("%s may act until %v, %s takes the record at %v", holder, ends, other, takes)
		} else if takes < sent+failover.Lease {
			overlaps++
		}
	}
	if marked == 0 || overlaps == 0 {
		t.Errorf("%d renewals with a mark, %d of them too early for a right from the send: want some of both", marked, overlaps)
	}
}

func TestWhoHearsNobodyDoesNotRenew(t *testing.T) {
	now := time.Minute
	at := func(age time.Duration) failover.Sighting {
		return failover.Sighting{Mark: failover.Mark{Boot: "b", At: 1}, Asked: now - age}
	}
	old, young := failover.Fresh+1, failover.Fresh-1
	for name, c := range map[string]struct {
		heard map[meridian.Region]failover.Sighting
		seen  int
		from  time.Duration
		ok    bool
	}{
		"nobody was heard of yet":  {nil, 0, now, true},
		"the only other is silent": {map[meridian.Region]failover.Sighting{"dub": at(old)}, 0, now, true},
		"one of two is silent":     {map[meridian.Region]failover.Sighting{"dub": at(old), "sin": at(young)}, 1, now - young, true},
		"both are heard":           {map[meridian.Region]failover.Sighting{"dub": at(0), "sin": at(young)}, 2, now - young, true},
		"both are silent":          {map[meridian.Region]failover.Sighting{"dub": at(old), "sin": at(old)}, 0, now, false},
	} {
		seen, from, ok := failover.Seen(c.heard, now)
		if len(seen) != c.seen || from != c.from || ok != c.ok {
			t.Errorf("%s: %d marks, from %v, %v; want %d, %v, %v", name, len(seen), from, ok, c.seen, c.from, c.ok)
		}
	}
}
