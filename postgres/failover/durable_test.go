package failover_test

import (
	"math/bits"
	"slices"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/failover"
)

var five = []meridian.Region{"iad", "dub", "sin", "gru", "syd"}

// TestWhoMayTakeHasWhatWasAcknowledged tries every set of regions that may
// have confirmed a commit against every set that may report: whoever takes the
// record has the commit. Control: without the threshold somebody takes it who
// has not.
func TestWhoMayTakeHasWhatWasAcknowledged(t *testing.T) {
	for n := 2; n <= len(five); n++ {
		regions := five[:n]
		modes := []meridian.Durability{{Quorum: true}}
		for _, r := range regions {
			modes = append(modes, meridian.Durability{Sync: r})
		}
		for _, mode := range modes {
			taken, lost := takeAll(t, mode, regions, failover.Promise{Now: mode})
			if lost > 0 {
				t.Errorf("%s in %d regions: %d of %d who take the record lack an acknowledged commit", mode, n, lost, taken)
			}
			if taken == 0 && n > 2 {
				t.Errorf("%s in %d regions: nobody ever takes the record", mode, n)
			}
			if _, lost := takeAll(t, mode, regions, failover.Promise{}); lost == 0 && n == 5 && mode.Sync != "" {
				t.Errorf("control: %s in %d regions loses nothing without the threshold", mode, n)
			}
		}
	}
}

// takeAll plays the loss of the first of the regions, whose commits waited for
// mode, in all ways, with a record that tells promise.
func takeAll(t *testing.T, mode meridian.Durability, regions []meridian.Region, promise failover.Promise) (taken, lost int) {
	holder := regions[0]
	q := failover.QuorumOf(mode, holder, regions)
	for has := range 1 << len(regions) {
		flushed := map[meridian.Region]meridian.LSN{}
		for i, r := range regions {
			if flushed[r] = 100; has&(1<<i) != 0 {
				flushed[r] = 200
			}
		}
		if q.Confirmed(flushed) < 200 || flushed[holder] < 200 {
			continue // not acknowledged
		}
		for said := range 1 << len(regions) {
			v := failover.View{Regions: regions, Record: failover.Record{Region: holder, Term: 7, Promise: promise},
				Age: time.Minute, State: failover.Standby, Pledged: 8, Since: time.Minute, MaxLoss: time.Hour}
			for i, r := range regions {
				if said&(1<<i) != 0 && r != holder {
					v.Reports = append(v.Reports, failover.Report{Region: r, Term: 8, Timeline: 1, Flushed: flushed[r]})
				}
			}
			for _, p := range v.Reports {
				v.Self = p.Region
				if failover.Decide(v).Do != failover.Take {
					continue
				}
				if taken++; flushed[v.Self] < 200 {
					lost++
				}
			}
			if bits.OnesCount(uint(said)) == len(regions) && mode.Sync == "" && len(regions) > 2 && taken == 0 {
				t.Errorf("%s: all reported, and nobody takes the record", mode)
			}
		}
	}
	return taken, lost
}

func TestConfirmedIsWhatEnoughOfThemHave(t *testing.T) {
	at := map[meridian.Region]meridian.LSN{"dub": 10, "sin": 30, "gru": 20}
	for _, c := range []struct {
		of   []meridian.Region
		need int
		want meridian.LSN
	}{
		{five[1:4], 1, 30}, {five[1:4], 2, 20}, {five[1:4], 3, 10}, {five[1:5], 4, 0}, {five[1:2], 1, 10}, {nil, 0, 0}, {five[1:2], 2, 0},
	} {
		if got := (failover.Quorum{Need: c.need, Of: c.of}).Confirmed(at); got != c.want {
			t.Errorf("%d of %v: %d, want %d", c.need, c.of, got, c.want)
		}
	}
}

func TestAnotherWishBeforeTheFirstHolds(t *testing.T) {
	async, quorum, sync := meridian.Durability{}, meridian.Durability{Quorum: true}, meridian.Durability{Sync: "dub"}
	p := failover.Promise{}.Ask(quorum)
	if p.Now != async || *p.Next != quorum || !slices.Equal(p.Rules(), []failover.Rule{{Durability: async}, {Durability: quorum}}) {
		t.Errorf("%v", p)
	}
	if p = p.Ask(sync); p.Now != async || *p.Next != sync {
		t.Errorf("another: %v", p)
	}
	if p = p.Ask(async); p != (failover.Promise{}) {
		t.Errorf("back: %v", p)
	}
}
