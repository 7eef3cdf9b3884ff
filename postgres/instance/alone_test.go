package instance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
)

// TestFormerPrimaryStartsWithoutItsSuccessor: one that handed over has nothing
// that the others lack, so that it can report and vote though the successor
// died at once. In the control nobody tells where its timeline was left, and it
// waits.
func TestFormerPrimaryStartsWithoutItsSuccessor(t *testing.T) {
	t.Parallel()
	w := idleWorld(t, "us-east-1", "eu-west-1")
	old, next := w.all[0], w.all[1]
	var left atomic.Uint64
	old.deps.Ended = func(timeline uint32) meridian.LSN {
		if timeline != 1 {
			t.Errorf("asked where timeline %d was left", timeline)
		}
		return meridian.LSN(left.Load())
	}
	w.start()
	old.must("CREATE TABLE t (n int)")
	at := w.stop()
	p := w.promote(next, at.LSN)
	w.kill()
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := old.Start(short, Standby); err == nil {
		t.Fatal("it started, and nobody said that its data ends before the fork: the test shows nothing")
	}
	left.Store(uint64(p.Fork))
	old.eventually("SELECT pg_is_in_recovery()", "t")
	w.term++
	pos, err := old.Recruit(w.patient(), w.term)
	if w.check(err); pos.Timeline != at.Timeline || pos.Flushed != at.LSN {
		t.Errorf("it reports %+v, stopped at %+v", pos, at)
	}
}

// TestWaitingDataCanBeThePrimarysAgain: the node started as a standby, since it
// knew no better, and learns that its region is the primary.
func TestWaitingDataCanBeThePrimarysAgain(t *testing.T) {
	t.Parallel()
	w := idleWorld(t, "us-east-1", "eu-west-1")
	c := w.all[0]
	c.start(Primary).up().must("CREATE TABLE t (n int)")
	c.crash()
	c.stop()
	w.primary.Store(w.all[1]) // which is not there
	c.start(Standby)
	for {
		s, changed := c.life.now()
		if s.run != nil {
			break
		}
		<-changed
	}
	w.check(c.Assume(Primary))
	c.up().must("INSERT INTO t VALUES (1)")
	if err := c.Assume(Standby); meridian.KindOf(err) != meridian.Invalid {
		t.Errorf("changed the role of a PostgreSQL that runs: %v", err)
	}
}
