package failover_test

import (
	"testing"
	"time"

	"meridian"
	"meridian/postgres/failover"
)

// TestNoQuorumIsWeakenedWhileRegionsJoinAndLeave loses the primary amid each
// step of a region's coming and going: whoever takes the record has what was
// acknowledged by the rules of the record that was there. Control: a primary
// that counts by the regions to come, before the record says so, loses some.
func TestNoQuorumIsWeakenedWhileRegionsJoinAndLeave(t *testing.T) {
	quorum := meridian.Durability{Quorum: true}
	among := func(n int) failover.Rule { return failover.Rule{Durability: quorum, Of: failover.AmongOf(five[:n])} }
	controls := 0
	for _, step := range []struct{ from, to int }{{2, 3}, {3, 4}, {4, 5}, {5, 4}, {4, 3}, {3, 2}, {3, 5}, {5, 3}} {
		before := failover.Promise{Now: quorum, Of: among(step.from).Of}
		during := before.Become(among(step.to))
		for _, p := range []failover.Promise{before, during, during.Kept()} {
			taken, lost := takeCounted(p, p.Rules())
			if lost > 0 {
				t.Errorf("from %d to %d regions, %s: %d of %d who take the record lack an acknowledged commit", step.from, step.to, p, lost, taken)
			}
			if taken == 0 && len(p.Of.Regions(nil)) > 2 {
				t.Errorf("from %d to %d regions, %s: nobody ever takes the record", step.from, step.to, p)
			}
		}
		_, lost := takeCounted(before, []failover.Rule{among(step.to)})
		controls += lost
	}
	if controls == 0 {
		t.Error("control: counting by the regions to come, ahead of the record, loses nothing")
	}
}

// takeCounted plays the loss of the first of five regions, whose commits waited
// for the rules, in all ways, with a record that tells promise.
func takeCounted(promise failover.Promise, rules []failover.Rule) (taken, lost int) {
	holder := five[0]
	for has := range 1 << len(five) {
		flushed := map[meridian.Region]meridian.LSN{}
		for i, r := range five {
			if flushed[r] = 100; has&(1<<i) != 0 {
				flushed[r] = 200
			}
		}
		acknowledged := flushed[holder] == 200
		for _, r := range rules {
			q := failover.QuorumOf(r.Durability, holder, r.Of.Regions(nil))
			acknowledged = acknowledged && (q.Need == 0 || q.Confirmed(flushed) >= 200)
		}
		if !acknowledged {
			continue
		}
		for said := range 1 << len(five) {
			v := failover.View{Regions: promise.Of.Regions(nil), Record: failover.Record{Region: holder, Term: 7, Promise: promise},
				Age: time.Minute, State: failover.Standby, Pledged: 8, Since: time.Minute, MaxLoss: time.Hour}
			for i, r := range five {
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
		}
	}
	return taken, lost
}
