package instance

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestARegionsLostDataIsCopiedFromItsFurtherStandby: that one finds in the copy
// the log from which it follows on. The negative control copies the primary's:
// there it does not, and must be copied anew itself.
func TestARegionsLostDataIsCopiedFromItsFurtherStandby(t *testing.T) {
	for _, near := range []bool{true, false} {
		t.Run(fmt.Sprintf("near=%v", near), func(t *testing.T) {
			w := newWorld(t, "us-east-1", "eu-west-1")
			a, b := w.all[0], w.all[1]
			a.must("CREATE TABLE t (n int)")
			f := w.further(b).start(Standby).up()
			if near {
				b.deps.Near = f.Dial
			}
			a.write(1)
			f.eventually("SELECT count(*) FROM t", "1")
			_, err := b.Stop(w.patient())
			w.check(err)
			w.check(os.RemoveAll(b.data()))
			a.write(2)
			w.check(a.exec(w.patient(), "SELECT pg_switch_wal()"))
			w.check(b.Start(w.patient(), Standby))
			w.check(b.FurtherSlots(w.patient(), []string{f.cfg.Further}))
			a.write(3)
			b.eventually("SELECT count(*) FROM t", "3")
			f.eventually("SELECT count(*) FROM t", "3")
			copies, borrowed := testutil.ToFloat64(f.stats.clones), testutil.ToFloat64(b.stats.borrowed)
			if (copies == 1) != near || (borrowed == 1) != near {
				t.Errorf("the further standby was copied %v times, its region's %v times from it", copies, borrowed)
			}
		})
	}
}

// TestABorrowedCopyReportsNothingBeforeItHasWhatItsRegionHad loses the data of a
// region that had a commit which its further standby lacks, and then the way to
// the primary. Asked how much it has, it says nothing: without it nobody who
// lacks the commit is promoted. The negative control forgets that the copy is a
// borrowed one, and reports less than was confirmed.
func TestABorrowedCopyReportsNothingBeforeItHasWhatItsRegionHad(t *testing.T) {
	for _, control := range []bool{false, true} {
		t.Run(fmt.Sprintf("control=%v", control), func(t *testing.T) {
			w := newWorld(t, "us-east-1", "eu-west-1")
			a, b := w.all[0], w.all[1]
			a.must("CREATE TABLE t (n int)")
			f := w.further(b).start(Standby).up()
			b.forgetful = control
			a.write(1)
			f.eventually("SELECT count(*) FROM t", "1")
			mend := w.hold(toFurther)
			defer mend()
			a.write(2)
			b.eventually("SELECT count(*) FROM t", "2")
			had, err := b.Report(w.patient())
			w.check(err)
			_, err = b.Stop(w.patient())
			w.check(err)
			w.check(os.RemoveAll(b.data()))
			var once sync.Once
			release := func() {}
			b.deps.Near = func(ctx context.Context) (net.Conn, error) {
				once.Do(func() { release = w.hold(b.cfg.Region) })
				return f.Dial(ctx)
			}
			w.check(b.Start(w.patient(), Standby))
			defer release()
			b.eventually("SELECT count(*) FROM t", "1")
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			r, err := b.Recruit(ctx, 2)
			switch {
			case control && (err != nil || r.Flushed >= had.Flushed):
				t.Errorf("the control reports %s, %v; it had confirmed %s", r.Flushed, err, had.Flushed)
			case !control && err == nil:
				t.Errorf("it reports %s, and had confirmed %s", r.Flushed, had.Flushed)
			}
			if control {
				return
			}
			release()
			mend()
			w.check(b.Follow(w.patient(), 2))
			b.eventually("SELECT count(*) FROM t", "2")
			if r, err = b.Recruit(w.patient(), 3); err != nil || r.Flushed < had.Flushed {
				t.Errorf("it has all again, and reports %s, %v; it had %s", r.Flushed, err, had.Flushed)
			}
			if _, err := os.Stat(b.debt()); err == nil {
				t.Error("the mark is still there")
			}
		})
	}
}
