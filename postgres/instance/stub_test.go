package instance

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAStandbyThatWasKilledAtTheStartOfATimelineFollowsIt kills a standby that
// has some of the file in which a new timeline begins, and not yet the fork.
// Without dropStubs its PostgreSQL ends at each start. Controls: a file that
// reaches the fork stays, as does that of the timeline before.
func TestAStandbyThatWasKilledAtTheStartOfATimelineFollowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
	a, b, late := w.all[0], w.all[1], w.all[2]
	a.must("CREATE TABLE t (s text)")
	w.check(late.Checkpoint(w.patient()))
	a.must("INSERT INTO t SELECT repeat(n::text, 100) FROM generate_series(1000, 9999) n")
	late.eventually("SELECT count(*) FROM t", "9000")
	b.eventually("SELECT count(*) FROM t", "9000")

	// It asks for that file of the old timeline first, which is as long.
	c, err := late.control(t.Context(), late.data())
	w.check(err)
	release := w.holdAfter(late.cfg.Region, int(uint64(w.stop().LSN)%c.Segment)+300<<10)
	defer release()
	p := w.promote(b, 0)
	late.eventuallyAs(Superuser, "SELECT count(*) FROM pg_ls_waldir() WHERE name = '"+segmentFile(p.Timeline, p.Fork, c.Segment)+"'", "1")
	late.eventuallyAs(Superuser, "SELECT count(*) FROM pg_stat_wal_receiver WHERE written_lsn < '"+p.Fork.String()+"'", "1")
	late.crash()
	release()

	late.eventually("SELECT count(*) FROM t", "9000")
	b.must("INSERT INTO t VALUES ('after')")
	late.eventually("SELECT count(*) FROM t", "9001")
	late.crash() // the file is whole now
	late.eventually("SELECT count(*) FROM t", "9001")
	if whole, err := late.dropStub(t.Context(), p.Timeline, p.Fork, c.Segment); !whole || err != nil {
		t.Errorf("the file of the timeline is gone, or said to be cut off: %v", err)
	}
	if _, err := os.Stat(filepath.Join(late.data(), "pg_wal", segmentFile(p.Timeline-1, p.Fork, c.Segment))); err != nil {
		t.Error(err)
	}
}
