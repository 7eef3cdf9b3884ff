package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
)

// write commits a row whose transaction carries a handle, and returns its id.
func (c *cluster) write(n int) (xid string) {
	c.t.Helper()
	return c.must(fmt.Sprintf("BEGIN; SELECT pg_current_xact_id(); "+
		"SELECT pg_logical_emit_message(true, 'meridian', 'write %d'); SAVEPOINT s; INSERT INTO t VALUES (%d); COMMIT", n, n))
}

// losses lists what a region kept, by handle, and fails if the ids are others.
func (c *cluster) losses(xids ...string) (handles []string) {
	c.t.Helper()
	tails, err := c.Tails()
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, tail := range tails {
		lost, err := Lost(c.t.Context(), tail.Dir)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, l := range lost {
			if l.Handle != "" { // autovacuum commits too
				got, handles = append(got, fmt.Sprint(l.XID)), append(handles, l.Handle)
			}
		}
	}
	if diff := cmp.Diff(xids, got); diff != "" {
		c.t.Errorf("%s lost other transactions: %s", c.cfg.Region, diff)
	}
	return handles
}

// TestDeadPrimaryRejoinsAndItsLostWritesAreListed kills the primary with
// commits that its standby has not received. The old one may first start again
// apart from the rest and be stopped cleanly: its log is as lost.
func TestDeadPrimaryRejoinsAndItsLostWritesAreListed(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			w := newWorld(t, "us-east-1", "eu-west-1")
			a, b := w.all[0], w.all[1]
			a.must("CREATE TABLE t (n int)")
			a.write(1)
			b.eventually("SELECT count(*) FROM t", "1")
			release := w.hold(b.cfg.Region)
			defer release()
			lost := []string{a.write(2), a.write(3)}
			w.kill()
			r, err := b.Recruit(w.patient(), 2)
			w.check(err)
			p := w.promote(b, 0)
			if p.Fork != r.Flushed || p.Timeline != 2 {
				t.Errorf("recruited with %+v, promoted as %+v", r, p)
			}
			release()
			if got := b.must("SELECT count(*) FROM t"); got != "1" {
				t.Errorf("%s rows: what was held came through", got)
			}
			b.write(4)
			if clean {
				w.check(a.Start(w.patient(), Primary))
				lost = append(lost, a.write(5))
				_, err := a.Stop(w.patient())
				w.check(err)
			}
			began := time.Now()
			w.check(a.Start(w.patient(), Standby))
			t.Logf("rejoin by rewind: %v", time.Since(began))
			a.eventually("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", "1 4")
			want := []string{"write 2", "write 3", "write 5"}[:len(lost)]
			if diff := cmp.Diff(want, a.losses(lost...)); diff != "" {
				t.Error(diff)
			}
			if n := testutil.ToFloat64(a.stats.rewinds); n != 1 || testutil.ToFloat64(a.stats.clones) != 0 {
				t.Errorf("%v rewinds, %v copies", n, testutil.ToFloat64(a.stats.clones))
			}
			b.write(6)
			a.eventually("SELECT count(*) FROM t", "3")
			w.promote(a, w.stop().LSN) // its own settings are back: it can be the primary again
			a.write(7)
			w.check(b.Start(w.patient(), Standby))
			b.eventually("SELECT count(*) FROM t", "4")
		})
	}
}

// TestRewindThatDoesNotReachThePrimaryIsTriedAgain loses the way to the primary
// just as pg_rewind asks for it.
func TestRewindThatDoesNotReachThePrimaryIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (n int)")
	a.write(1)
	b.eventually("SELECT count(*) FROM t", "1")
	release := w.hold(b.cfg.Region)
	defer release()
	lost := a.write(2)
	w.kill()
	_, err := b.Recruit(w.patient(), 2)
	w.check(err)
	w.promote(b, 0)
	release()
	var refused atomic.Int32
	up := a.deps.Upstream
	a.deps.Upstream = func(ctx context.Context, term uint64) (net.Conn, error) {
		if a.halfRewound() && refused.Add(1) <= 2 {
			return nil, errors.New("the way is lost")
		}
		return up(ctx, term)
	}
	w.check(a.Start(w.patient(), Standby))
	a.eventually("SELECT string_agg(n::text, ' ') FROM t", "1")
	a.losses(lost)
	if r, c := testutil.ToFloat64(a.stats.rewinds), testutil.ToFloat64(a.stats.clones); r != 1 || c != 0 || refused.Load() < 2 {
		t.Errorf("%v rewinds, %v copies, %d times refused", r, c, refused.Load())
	}
}

// TestStandbyAheadOfTheNewPrimaryRejoins lets a third region have more than the
// one that is promoted, as when it could not be recruited.
func TestStandbyAheadOfTheNewPrimaryRejoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
	a, b, c := w.all[0], w.all[1], w.all[2]
	a.must("CREATE TABLE t (n int)")
	b.eventually("SELECT count(*) FROM t", "0")
	release := w.hold(b.cfg.Region)
	defer release()
	lost := a.write(1)
	c.eventually("SELECT count(*) FROM t", "1")
	w.kill()
	_, err := b.Recruit(w.patient(), 2)
	w.check(err)
	began := time.Now()
	w.promote(b, 0)
	release()
	b.write(2)
	c.eventually("SELECT string_agg(n::text, ' ') FROM t", "2")
	t.Logf("rejoined after %v with %v rewinds, %v copies", time.Since(began), testutil.ToFloat64(c.stats.rewinds), testutil.ToFloat64(c.stats.clones)-1)
	if diff := cmp.Diff([]string{"write 1"}, c.losses(lost)); diff != "" {
		t.Error(diff)
	}
	w.check(a.Start(w.patient(), Standby))
	a.eventually("SELECT string_agg(n::text, ' ') FROM t", "2")
}

// TestTheLogThatIsKeptCoversARewind writes log between the last checkpoint that
// two regions share and the loss of the primary, which then makes another
// checkpoint: pg_rewind reads the old primary's own log from the shared one on.
// The negative control keeps none of that: the data must be copied anew, and is.
func TestTheLogThatIsKeptCoversARewind(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{"kept": nil, "control: not kept": {"wal_keep_size": "0", "min_wal_size": "32MB"}} {
		t.Run(name, func(t *testing.T) {
			w := idleWorld(t, "us-east-1", "eu-west-1")
			for _, c := range w.all {
				c.cfg.Settings = settings
			}
			w.start()
			a, b := w.all[0], w.all[1]
			w.check(a.DropSlots(w.patient(), []string{Slot("ap-south-1")})) // of nobody: it would keep the log, too
			a.must("CREATE TABLE t (n int)")
			w.check(a.Checkpoint(w.patient()))
			for n := range 3 {
				a.must(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
				w.check(a.exec(w.patient(), "SELECT pg_switch_wal()"))
			}
			b.eventually("SELECT count(*) FROM t", "3")
			a.eventually("SELECT restart_lsn = pg_current_wal_flush_lsn() FROM pg_replication_slots", "t")
			release := w.hold(b.cfg.Region)
			defer release()
			a.write(10)
			w.check(a.Checkpoint(w.patient()))
			w.kill()
			_, err := b.Recruit(w.patient(), 2)
			w.check(err)
			w.promote(b, 0)
			release()
			b.write(11)
			w.check(a.Start(w.patient(), Standby))
			a.eventually("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", "0 1 2 11")
			kept := settings == nil
			if rewinds, copies := testutil.ToFloat64(a.stats.rewinds), testutil.ToFloat64(a.stats.clones); (rewinds == 1) != kept || (copies == 0) != kept {
				t.Errorf("%v rewinds, %v copies", rewinds, copies)
			}
		})
	}
}

// TestTwoPrimariesNeverShareATimeline promotes a standby that has not heard of
// the promotion before its own. The negative control reserves no timelines:
// both take number 2.
func TestTwoPrimariesNeverShareATimeline(t *testing.T) {
	t.Parallel()
	for _, reserved := range []bool{true, false} {
		t.Run(fmt.Sprint(reserved), func(t *testing.T) {
			w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
			a, b, c := w.all[0], w.all[1], w.all[2]
			a.must("CREATE TABLE t (n int)")
			for _, s := range []*cluster{b, c} { // who streams in this term gets the end of the log
				s.eventually("SELECT count(*) FROM t", "0")
			}
			at := w.stop()
			c.eventually("SELECT pg_last_wal_replay_lsn() >= '"+at.LSN.String()+"'", "t")
			w.check(b.Pledge(2))
			first, err := b.Promote(w.patient(), at.LSN, nil)
			w.check(err)
			b.write(1) // nobody else hears of it
			w.primary.Store(b)
			w.kill()
			if reserved {
				_, err = c.Recruit(w.patient(), 3)
				w.check(err)
			}
			second, err := c.Promote(w.patient(), 0, others(c))
			w.check(err)
			if same := first.Timeline == second.Timeline; same == reserved || first.Fork != second.Fork {
				t.Errorf("promoted as %+v and %+v", first, second)
			}
			w.primary.Store(c)
			c.write(2)
			for _, old := range []*cluster{a, b} {
				w.check(old.Follow(w.patient(), 3))
				w.check(old.Start(w.patient(), Standby))
				old.eventually("SELECT string_agg(n::text, ' ') FROM t", "2")
			}
			if clones := testutil.ToFloat64(b.stats.clones); reserved != (clones == 1) {
				t.Errorf("%v copies", clones)
			}
		})
	}
}

// TestPrimaryThatDiedBeforeItsFirstCheckpointRejoins: the end of its log is on
// a timeline that its control file has no checkpoint of.
func TestPrimaryThatDiedBeforeItsFirstCheckpointRejoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
	a, b, c := w.all[0], w.all[1], w.all[2]
	a.must("CREATE TABLE t (n int)")
	b.chores = nil // no checkpoint
	w.promote(b, w.stop().LSN)
	c.eventually("SELECT count(*) FROM t", "0")
	b.write(1)
	c.eventually("SELECT count(*) FROM t", "1")
	release := w.hold(c.cfg.Region)
	defer release()
	lost := b.write(2)
	w.kill()
	if c, err := b.control(t.Context(), b.data()); err != nil || c.Timeline == c.newest() {
		t.Errorf("this controls nothing: %+v, %v", c, err)
	}
	_, err := c.Recruit(w.patient(), 3)
	w.check(err)
	w.promote(c, 0)
	release()
	c.write(3)
	w.check(b.Start(w.patient(), Standby))
	b.eventually("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", "1 3")
	if diff := cmp.Diff([]string{"write 2"}, b.losses(lost)); diff != "" {
		t.Error(diff)
	}
}

// TestRewindThatWasCutOffEndsInACopy leaves the mark of one.
func TestRewindThatWasCutOffEndsInACopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (n int)")
	_, err := b.Stop(w.patient())
	w.check(err)
	w.check(b.run.write(b.rewinding(), ""))
	w.check(b.Start(w.patient(), Standby))
	b.eventually("SELECT count(*) FROM t", "0")
	if n := testutil.ToFloat64(b.stats.clones); n != 2 {
		t.Errorf("%v copies", n)
	}
	if kept, err := filepath.Glob(filepath.Join(b.cfg.Dir, "pg.old-*")); err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
	if _, err := os.Stat(b.rewinding()); err == nil {
		t.Error("the mark is still there")
	}
}

func TestWhereHistoriesPart(t *testing.T) {
	const end = forever
	for _, c := range []struct {
		ours, theirs history
		want         []Span
	}{
		{history{{1, 50}}, history{{1, 50}, {2, end}}, nil},
		{history{{1, 40}}, history{{1, 50}, {2, end}}, nil},
		{history{{1, 60}}, history{{1, 50}, {2, end}}, []Span{{1, 50, 60}}},
		{history{{1, 50}, {2, 80}}, history{{1, 50}, {3, end}}, []Span{{2, 50, 80}}},
		{history{{1, 60}, {2, 80}}, history{{1, 50}, {3, end}}, []Span{{1, 50, 60}, {2, 60, 80}}},
		{history{{1, 40}, {2, 80}}, history{{1, 50}, {3, end}}, []Span{{2, 40, 80}}},
		{history{{1, 50}, {2, 80}, {4, 90}}, history{{1, 50}, {2, 70}, {3, end}}, []Span{{2, 70, 80}, {4, 80, 90}}},
	} {
		if diff := cmp.Diff(c.want, apart(c.ours, c.theirs)); diff != "" {
			t.Errorf("%v and %v: %s", c.ours, c.theirs, diff)
		}
	}
}

func TestRecordsEndAfterThePageHeadersTheyCross(t *testing.T) {
	const segment = 1 << 24
	for _, c := range []struct {
		start  meridian.LSN
		length uint32
		want   meridian.LSN
	}{
		{0x1500718, 114, 0x1500790},
		{0x1501FF0, 114, 0x1502000 + shortHeader + 104},
		{0x1FFFFF0, 114, 0x2000000 + longHeader + 104},
		{0x1501F88, 120, 0x1502000}, // the header of the next page is the next record's business
		{0x1500028, 20000, 0x1500028 + 20000 + 2*shortHeader},
	} {
		if got := recordEnd(c.start, c.length, segment); got != c.want {
			t.Errorf("%s + %d: %s, want %s", c.start, c.length, got, c.want)
		}
	}
}
