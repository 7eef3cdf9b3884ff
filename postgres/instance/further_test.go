package instance

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
)

// toFurther names the way to a further standby, where that is held.
const toFurther meridian.Region = "further"

// further returns a further standby of a cluster's region.
func (w *world) further(of *cluster) *cluster {
	c := newCluster(w.t, filepath.Join(w.dir, "f"), of.cfg.Region, func(ctx context.Context) (net.Conn, error) {
		c, err := of.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return &heldConn{Conn: c, w: w, to: toFurther, closed: make(chan struct{})}, nil
	})
	c.cfg.Further = string(of.cfg.Region) + "/standby-1"
	return c
}

// TestAFurtherStandbyFollowsItsRegion has one follow a region that stands by,
// that must give up log which both had, that is copied anew, and that becomes
// the primary and is replaced.
func TestAFurtherStandbyFollowsItsRegion(t *testing.T) {
	w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
	a, b, c := w.all[0], w.all[1], w.all[2]
	a.must("CREATE TABLE t (n int)")
	f := w.further(b).start(Standby).up()
	keep := func() { w.check(b.FurtherSlots(w.patient(), []string{f.cfg.Further})) }
	shows := func(rows string) {
		t.Helper()
		keep()
		f.eventually("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", rows)
	}
	a.write(0)
	shows("0")
	b.eventuallyAs(Superuser, "SELECT application_name FROM pg_stat_replication", "_eu_west_1_standby_1")
	if got, err := a.query(Superuser, "SELECT count(*) FROM pg_stat_replication WHERE application_name LIKE '%standby%'"); got != "0" {
		t.Errorf("%s, %v: it streams from the primary, and not from its region", got, err)
	}

	release := w.hold(c.cfg.Region) // b and f have more than the next primary
	defer release()
	a.write(1)
	shows("0 1")
	w.kill()
	_, err := c.Recruit(w.patient(), 2)
	w.check(err)
	w.promote(c, 0)
	release()
	c.write(2)
	b.eventually("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", "0 2")
	began := time.Now()
	shows("0 2")
	t.Logf("followed its region's rewind after %v, with %v rewinds and %v copies", time.Since(began), testutil.ToFloat64(f.stats.rewinds), testutil.ToFloat64(f.stats.clones)-1)
	if n := testutil.ToFloat64(f.stats.rewinds); n != 1 {
		t.Errorf("%v rewinds", n)
	}
	w.check(a.Start(w.patient(), Standby))

	w.promote(b, w.stop().LSN)
	b.write(3)
	shows("0 2 3")
	w.check(c.Start(w.patient(), Standby))
	w.promote(c, w.stop().LSN)
	w.check(b.Start(w.patient(), Standby))
	c.write(4)
	shows("0 2 3 4")

	_, err = b.Stop(w.patient())
	w.check(err)
	w.check(b.run.write(b.rewinding(), "")) // a rewind that was cut off: it is copied anew
	if got, want := f.must("SELECT count(*) FROM t"), "4"; got != want {
		t.Errorf("%s rows while its region's PostgreSQL is down, want %s", got, want)
	}
	w.check(b.Start(w.patient(), Standby))
	c.write(5)
	shows("0 2 3 4 5") // copied anew as well, where that copy has no log from before
}

// TestLogIsKeptForAFurtherStandbyUntilItLeaves keeps one away while log is
// written and recycled. The negative control keeps no slot: it must be copied
// anew, and is.
func TestLogIsKeptForAFurtherStandbyUntilItLeaves(t *testing.T) {
	for _, slot := range []bool{true, false} {
		t.Run(fmt.Sprintf("slot=%v", slot), func(t *testing.T) {
			w := idleWorld(t, "us-east-1", "eu-west-1")
			for _, c := range w.all {
				c.cfg.Settings = map[string]string{"wal_keep_size": "0", "min_wal_size": "32MB"}
			}
			w.start()
			a, b := w.all[0], w.all[1]
			for _, c := range w.all {
				w.check(c.DropSlots(w.patient(), []string{Slot("ap-south-1")})) // of nobody: it would keep the log, too
			}
			a.must("CREATE TABLE t (n int)")
			f := w.further(b).start(Standby).up()
			_, err := f.Stop(w.patient())
			w.check(err)
			slots := "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '_eu_west_1_standby_1'"
			if !slot {
				b.eventuallyAs(Superuser, slots+" AND NOT active", "1")
				w.check(b.FurtherSlots(w.patient(), nil))
				b.eventuallyAs(Superuser, slots, "0")
			}
			for n := range 5 {
				a.must(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
				w.check(a.exec(w.patient(), "SELECT pg_switch_wal()"))
				w.check(a.Checkpoint(w.patient()))
				b.eventually("SELECT count(*) FROM t", fmt.Sprint(n+1))
				w.check(b.advanceSlots(w.patient())) // not this one
				w.check(b.Checkpoint(w.patient()))
			}
			if !slot {
				w.check(b.FurtherSlots(w.patient(), []string{f.cfg.Further}))
			}
			w.check(f.Start(w.patient(), Standby))
			f.eventually("SELECT count(*) FROM t", "5")
			if copies := testutil.ToFloat64(f.stats.clones); (copies == 1) != slot {
				t.Errorf("%v copies", copies)
			}
		})
	}
}
