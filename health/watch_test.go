package health

import (
	"testing"
	"testing/synctest"
	"time"
)

// R5: what a node reports against the rules is dropped, and its last good
// report stays; the node itself has answered, and is alive.
func TestBadReportIsDroppedAndLastGoodKept(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		fra := w.nodes["fra"]
		forged := &wireReport{Node: "iad", Sights: map[string]wireSight{"fra": {Known: true}}}
		fra.heard("gru", arrival{frame{Seq: 1, Report: forged}, time.Now()}, 100*ms, 0)
		fra.mu.Lock()
		kept := fra.peers["gru"].report
		fra.mu.Unlock()
		if kept.Node != "gru" || !kept.Sights["fra"].OK {
			t.Errorf("kept %+v", kept)
		}
		if !fra.Verdicts()["gru"].Alive {
			t.Error("gru answered and is dead")
		}
	})
}

// A node that was stopped for a minute has heard nobody for a minute, and must
// not take everybody for dead when it goes on.
func TestSleeperJudgesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "fra", "gru")
		time.Sleep(5 * time.Second)
		b := &probe{prober: w.nodes["fra"].Prober, node: "gru", sent: []ping{{1, time.Now().Add(-time.Minute), 0}}}
		b.listening = time.Now().Add(-100 * ms) // it woke
		b.judgeSilence()
		if !w.nodes["fra"].Verdicts()["gru"].Alive {
			t.Error("a sleeper judged")
		}
		b.listening = time.Now().Add(-time.Minute) // the control: it listened all the while
		b.judgeSilence()
		if w.nodes["fra"].Verdicts()["gru"].Alive {
			t.Error("a minute of silence is not a death")
		}
	})
}
