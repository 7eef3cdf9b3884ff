package server

import (
	"context"
	"time"

	"meridian/postgres/failover"
)

// witness votes on lost primaries until ctx is over. It holds no data: its word
// is that it, too, sees no primary, so that the regions that are left are a
// majority.
func (n *node) witness(ctx context.Context, ready func()) error {
	log := n.log.With("hop", "postgres", "region", string(n.self.Region))
	t, db := n.newTenure(), n.file.Database.Name
	tick := time.NewTicker(stewardTick)
	defer tick.Stop()
	var last failover.Decision
	ready()
	for {
		watch, now := n.store.Watch(), n.store.Now()
		t.see(now)
		r, _, age := t.now()
		v := failover.View{Self: n.self.Region, Witness: n.self.Region, Record: r, Age: age}
		each(now, reportPrefix+db+"/", log, func(_ string, p failover.Report) { v.Reports = append(v.Reports, p) })
		d := failover.DecideWitness(v)
		if d.Do != last.Do || d.Term != last.Term {
			log.Info("witness", "do", string(d.Do), "of", d.Who, "term", d.Term, "why", d.Why)
			last = d
		}
		if d.Do == failover.Vote {
			report := failover.Report{Region: n.self.Region, Term: d.Term}
			if err := n.store.Put(ctx, reportPrefix+db+"/"+string(n.self.Region), mustJSON(report)); err != nil && ctx.Err() == nil {
				log.Error("witness: the vote was not written", "term", d.Term, "why", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-tick.C:
		}
	}
}
