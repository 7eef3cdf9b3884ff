package failover_test

import (
	"testing"
	"time"

	"meridian"
	"meridian/postgres/failover"
)

// TestNoTakeoverLosesWhatAMajorityHas loses the primary of three and of five
// regions, after a write that it and as many standbys as make a majority have.
// Whichever standbys report, whoever takes the record has the write. Control: a
// takeover that a person forces needs no threshold, and loses it with some.
func TestNoTakeoverLosesWhatAMajorityHas(t *testing.T) {
	for _, names := range [][]meridian.Region{{"iad", "dub", "sin"}, {"iad", "dub", "sin", "gru", "syd"}} {
		taken, lost, forcedLost := 0, 0, 0
		standbys := names[1:]
		for has := range 1 << len(standbys) {
			if ones(has) < len(names)/2 {
				continue // with the primary, that is no majority
			}
			for reports := range 1 << len(standbys) {
				for i, self := range standbys {
					if reports&(1<<i) == 0 {
						continue
					}
					for _, force := range []bool{false, true} {
						v := view(names, self, has, reports)
						if force {
							v.Move = &failover.Move{To: self, Force: true, Term: v.Record.Term}
						}
						d := failover.Decide(v)
						without := has&(1<<i) == 0
						switch {
						case d.Do == failover.Take && force && without:
							forcedLost++
						case d.Do == failover.Take && !force && without:
							lost++
							t.Errorf("%s takes over without the write, which %b of %v have; %b report: %s", self, has, standbys, reports, d.Why)
						case d.Do == failover.Take && !force:
							taken++
						}
					}
				}
			}
		}
		if taken == 0 || forcedLost == 0 {
			t.Errorf("%d regions: %d takeovers, %d lost, %d lost by force: want some of the first and of the last", len(names), taken, lost, forcedLost)
		}
	}
}

func ones(set int) (n int) {
	for ; set > 0; set &= set - 1 {
		n++
	}
	return n
}

// view is what a standby sees long after iad was lost: has says which standbys
// have the last write, reports which of them reported.
func view(names []meridian.Region, self meridian.Region, has, reports int) failover.View {
	v := failover.View{
		Self: self, Regions: names, Record: failover.Record{Region: names[0], Term: 7}, Age: time.Minute,
		State: failover.Standby, Pledged: 8, Since: time.Minute, MaxLoss: 10 * time.Second, Alive: map[meridian.Region]bool{},
	}
	for i, r := range names[1:] {
		if reports&(1<<i) == 0 {
			continue
		}
		p := failover.Report{Region: r, Term: 8, Timeline: 1, Flushed: 100}
		if has&(1<<i) != 0 {
			p.Flushed = 200
		}
		v.Reports = append(v.Reports, p)
	}
	return v
}
