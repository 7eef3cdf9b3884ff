package instance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
)

// TestPrimaryMovesBackAndForth writes a row between the moves and looks for
// all of them everywhere. Nobody copies or rewinds anything for it.
func TestPrimaryMovesBackAndForth(t *testing.T) {
	for _, regions := range [][]meridian.Region{{"us-east-1", "eu-west-1"}, {"us-east-1", "eu-west-1", "ap-south-1"}} {
		t.Run(fmt.Sprint(len(regions)), func(t *testing.T) {
			w := newWorld(t, regions...)
			w.primary.Load().must("CREATE TABLE t (n int)")
			for n := range 5 {
				old, to := w.primary.Load(), w.all[(n+1)%len(w.all)]
				old.must(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
				at := w.stop()
				p := w.promote(to, at.LSN)
				if p.Fork != at.LSN || uint64(p.Timeline) != w.term || p.Horizon == 0 {
					t.Errorf("stopped at %+v, promoted as %+v in term %d", at, p, w.term)
				}
				to.must(fmt.Sprintf("INSERT INTO t VALUES (%d)", 100+n))
				began := time.Now()
				w.check(old.Start(w.patient(), Standby))
				t.Logf("rejoin %s: up after %v", old.cfg.Region, time.Since(began))
				for _, c := range w.all {
					c.eventually("SELECT count(*) FROM t", fmt.Sprint(2*(n+1)))
				}
				t.Logf("all have all after %v", time.Since(began))
			}
			for _, c := range w.all {
				if clones := testutil.ToFloat64(c.stats.clones); clones > 1 {
					t.Errorf("%s copied the database %v times", c.cfg.Region, clones)
				}
			}
		})
	}
}

// TestPromotionWaitsForTheGate holds the last row on its way. The negative
// control promotes without the gate, and the row is lost.
func TestPromotionWaitsForTheGate(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprint(guarded), func(t *testing.T) {
			w := newWorld(t, "us-east-1", "eu-west-1")
			a, b := w.all[0], w.all[1]
			a.must("CREATE TABLE t (n int)")
			b.eventually("SELECT count(*) FROM t", "0")
			release := w.hold(b.cfg.Region)
			a.must("INSERT INTO t VALUES (1)")
			end := a.must("SELECT pg_current_wal_flush_lsn()")
			gate, err := meridian.ParseLSN(end)
			w.check(err)
			want := "1"
			if !guarded {
				gate, want = 0, "0"
			} else {
				time.AfterFunc(100*time.Millisecond, release)
			}
			w.promote(b, gate)
			release()
			if got := b.must("SELECT count(*) FROM t"); got != want {
				t.Errorf("%s rows, want %s", got, want)
			}
		})
	}
}

func TestPromotionGivesUpOnAGateThatNeverComes(t *testing.T) {
	w := newWorld(t, "us-east-1", "eu-west-1")
	b := w.all[1]
	ctx, cancel := shortly(t)
	defer cancel()
	_, err := b.Promote(ctx, 1<<60, nil)
	if meridian.KindOf(err) != meridian.Timeout || !strings.Contains(err.Error(), "lacks the log up to") {
		t.Errorf("got %v", err)
	}
	if r, err := b.Report(t.Context()); err != nil || r.Role != Standby {
		t.Errorf("%+v, %v", r, err)
	}
}
