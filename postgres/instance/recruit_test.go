package instance

import (
	"context"
	"testing"
	"time"

	"meridian"
)

func shortly(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 200*time.Millisecond)
}

// TestPledgeOutlivesARestart recruits, and asks again after the node came back.
func TestPledgeOutlivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	b := w.all[1]
	r, err := b.Recruit(w.patient(), 7)
	w.check(err)
	if own, err := system(b.data()); err != nil || r.Term != 7 || r.System != own || r.Timeline != 1 || r.Flushed == 0 || r.Flushed < r.Replayed || r.Role != Standby {
		t.Errorf("reported %+v, %v", r, err)
	}
	b.stop()
	b = w.cluster("eu-west-1").start(Standby).up()
	for _, term := range []uint64{3, 6, 7} {
		if _, err := b.Recruit(w.patient(), term); meridian.KindOf(err) != meridian.Forbidden {
			t.Errorf("recruited for term %d: %v", term, err)
		}
	}
	if err := b.Follow(w.patient(), 6); meridian.KindOf(err) != meridian.Forbidden {
		t.Errorf("follows an older term: %v", err)
	}
	if b.Term() != 7 {
		t.Errorf("term %d", b.Term())
	}
	_, err = b.Recruit(w.patient(), 8)
	w.check(err)
}

// TestARegionWhoseDatabaseWasDownReportsLater pledges a term while PostgreSQL is
// down, and reports once it is up: all that it had, and nothing newer.
func TestARegionWhoseDatabaseWasDownReportsLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (n int)")
	b.eventually("SELECT count(*) FROM t", "0")
	_, err := b.Stop(w.patient())
	w.check(err)
	ctx, cancel := shortly(t)
	defer cancel()
	if _, err := b.Recruit(ctx, 5); err == nil || b.Term() != 5 {
		t.Fatalf("recruited without a database: %v, term %d", err, b.Term())
	}
	a.must("INSERT INTO t VALUES (1)")
	w.check(b.Start(w.patient(), Standby))
	r, err := b.Settle(w.patient())
	w.check(err)
	if r.Term != 5 || r.Flushed == 0 || r.Flushed != r.Replayed || r.Role != Standby {
		t.Errorf("reported %+v", r)
	}
	if n := b.must("SELECT count(*) FROM t"); n != "0" {
		t.Errorf("%s rows: it followed the older term", n)
	}
}

// TestRecruitTakesNoMoreOfTheOlderTerm writes on the deposed primary and waits
// until the log would have come. The negative control leaves out the cut.
func TestRecruitTakesNoMoreOfTheOlderTerm(t *testing.T) {
	t.Parallel()
	for _, leaky := range []bool{false, true} {
		w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
		a, b, c := w.all[0], w.all[1], w.all[2]
		a.must("CREATE TABLE t (n int)")
		for _, s := range []*cluster{b, c} {
			s.eventually("SELECT count(*) FROM t", "0")
		}
		if b.gate.leaky = leaky; leaky {
			w.check(b.gate.recruit(5)) // Recruit itself would wait for the stream's end
			a.must("INSERT INTO t VALUES (1)")
			b.eventually("SELECT count(*) FROM t", "1")
			continue
		}
		before, err := b.Recruit(w.patient(), 5)
		w.check(err)
		a.must("INSERT INTO t VALUES (1)")
		c.eventually("SELECT count(*) FROM t", "1") // had it streamed, it would be here too
		after, err := b.Report(w.patient())
		w.check(err)
		if after != before || b.must("SELECT count(*) FROM t") != "0" {
			t.Errorf("recruited at %+v, now at %+v", before, after)
		}
		w.check(b.Follow(w.patient(), 5))
		began := time.Now()
		b.eventually("SELECT count(*) FROM t", "1")
		t.Logf("streams %v after Follow", time.Since(began))
	}
}

// TestRecruitDoesNotWaitForTheRestOfARecord cuts the log inside one: what came
// of it is on disk, and never replayed.
func TestRecruitDoesNotWaitForTheRestOfARecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (s text); ALTER TABLE t ALTER s SET STORAGE PLAIN")
	b.eventually("SELECT count(*) FROM t", "0")
	before, err := b.Report(w.patient())
	w.check(err)
	release := w.holdAfter(b.cfg.Region, 300<<10)
	defer release()
	a.must("INSERT INTO t SELECT repeat(n::text, 1000) FROM generate_series(1000, 2000) n")
	b.eventually("SELECT pg_last_wal_receive_lsn() - '"+before.Flushed.String()+"' > 100000", "t")
	began := time.Now()
	r, err := b.Recruit(w.patient(), 2)
	w.check(err)
	t.Logf("recruit: %v", time.Since(began))
	if r.Flushed <= r.Replayed || r.Replayed <= before.Replayed {
		t.Errorf("before %+v, recruited with %+v: want half of a record at the end", before, r)
	}
	if p := w.promote(b, 0); p.Fork != r.Replayed {
		t.Errorf("recruited with %+v, promoted as %+v", r, p)
	}
	a.stop() // it has the rest of the record; the new primary's log goes on in the middle of it
	w.check(a.Follow(w.patient(), 2))
	release()
	a.start(Standby).up()
	b.must("TRUNCATE t")
	a.eventually("SELECT count(*) FROM t", "0")
}
