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

// TestRecruitTakesNoMoreOfTheOlderTerm writes on the deposed primary and waits
// until the log would have come. The negative control leaves out the cut.
func TestRecruitTakesNoMoreOfTheOlderTerm(t *testing.T) {
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
