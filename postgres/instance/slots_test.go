package instance

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestNewPrimaryHasTheLogThatAnAbsentRegionNeeds keeps a region away while log
// is written and recycled, and promotes another. The negative control drops the
// slots that this one held as a standby: the region must be copied anew, and is.
func TestNewPrimaryHasTheLogThatAnAbsentRegionNeeds(t *testing.T) {
	t.Parallel()
	for _, slots := range []bool{true, false} {
		t.Run(fmt.Sprintf("slots=%v", slots), func(t *testing.T) {
			w := idleWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
			for _, c := range w.all {
				c.cfg.Settings = map[string]string{"wal_keep_size": "0", "min_wal_size": "32MB"}
			}
			w.start()
			a, b, c := w.all[0], w.all[1], w.all[2]
			a.must("CREATE TABLE t (n int)")
			c.eventually("SELECT count(*) FROM t", "0")
			_, err := c.Stop(w.patient())
			w.check(err)
			if !slots {
				w.check(b.exec(w.patient(), "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"))
			}
			for n := range 5 {
				a.must(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
				w.check(a.exec(w.patient(), "SELECT pg_switch_wal()"))
				w.check(a.Checkpoint(w.patient()))
				b.eventually("SELECT count(*) FROM t", fmt.Sprint(n+1))
				w.check(b.Checkpoint(w.patient())) // a restart point: what no slot holds is recycled
				if slots {
					w.check(b.advanceSlots(w.patient()))
				}
			}
			w.promote(b, w.stop().LSN)
			w.check(c.Start(w.patient(), Standby))
			b.write(5)
			c.eventually("SELECT count(*) FROM t", "6")
			if copies := testutil.ToFloat64(c.stats.clones) - 1; (copies == 0) != slots {
				t.Errorf("%v copies", copies)
			}
		})
	}
}

// TestSlotsOfAStandbyFollowThePrimarys waits for the third region's slot to
// move on the primary, and then for the standby's to get there.
func TestSlotsOfAStandbyFollowThePrimarys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
	a, b, c := w.all[0], w.all[1], w.all[2]
	a.must("CREATE TABLE t (n int)")
	end := a.must("SELECT pg_current_wal_flush_lsn()")
	c.eventually("SELECT count(*) FROM t", "0")
	const passed = "SELECT restart_lsn >= '%s' FROM pg_replication_slots WHERE slot_name = 'ap_south_1'"
	a.eventually(fmt.Sprintf(passed, end), "t")
	b.eventually("SELECT pg_last_wal_replay_lsn() >= '"+end+"'", "t")
	w.check(b.advanceSlots(w.patient()))
	if got := b.must(fmt.Sprintf(passed, end)); got != "t" {
		t.Error("the standby's slot stays behind")
	}
}

func TestSlotsNeverMoveBackAndTheUnlistedRestAtTheCheckpoint(t *testing.T) {
	got := advances(
		[]slot{{"ahead", 50}, {"behind", 50}, {"primary", 50}, {"resting", 99}},
		[]slot{{"ahead", 40}, {"behind", 60}, {"elsewhere", 70}}, 80)
	if diff := cmp.Diff([]slot{{"behind", 60}, {"primary", 80}}, got); diff != "" {
		t.Error(diff)
	}
}
