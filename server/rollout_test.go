package server

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"meridian/client"
	"meridian/edge/rollout"
)

// TestABadVersionIsRolledBackEverywhere, and no request of the other fails. Then
// the controls: without the gate it stays, and so it does where both versions
// fail alike.
func TestABadVersionIsRolledBackEverywhere(t *testing.T) {
	w := newRollingWorld(t)
	w.bad[1].Store(true)
	w.begin(client.RolloutStart{Percent: 30})
	w.until("rolled back in the store", func() bool { return w.record().Phase == rollout.RolledBack })
	w.until("rolled back at all edges", func() bool { return w.serving() == 0 })
	if rec := w.record(); !strings.Contains(rec.Why, "(100.0 %) failed") || !strings.Contains(rec.Why, "of the current version") {
		t.Errorf("why: %s, by %s", rec.Why, rec.By)
	}
	if w.wrong.Load() != 0 {
		t.Errorf("%d requests of the current version were answered otherwise", w.wrong.Load())
	}
	w.begin(client.RolloutStart{Percent: 30, NoGate: true})
	w.stays("without the gate", 30)
	if _, err := changeRollout(t.Context(), w.edges[0].end, begun(rollout.Record{})); err == nil || !strings.Contains(err.Error(), "is under way since") {
		t.Errorf("a second rollout beside the first: %v", err)
	}
	w.finish(rollout.Aborted)
	w.bad[0].Store(true)
	w.begin(client.RolloutStart{Percent: 30})
	w.stays("an outage of both", 30)
}

// TestAGoodVersionIsPromotedStepByStep, survives a restart in the middle of that,
// and is over when the files have it.
func TestAGoodVersionIsPromotedStepByStep(t *testing.T) {
	w := newRollingWorld(t)
	version := w.begin(client.RolloutStart{Steps: []float64{20, 60, 100}, Hold: 300 * time.Millisecond})
	w.until("at 60 %", func() bool { return w.record().Plan.Percent >= 60 })
	w.edges[2].stop()
	w.edges[2] = w.start("c")
	if v, _ := w.edges[2].door.Rollout(); v != version {
		t.Errorf("an edge that starts in the middle has the version %q", v)
	}
	w.until("promoted", func() bool { return w.record().Phase == rollout.Promoted })
	w.until("at 100 % everywhere", func() bool {
		w.ask(1)
		for _, e := range w.edges {
			if e.report().Step != w.record().Turn {
				return false
			}
		}
		return true
	})
	for _, e := range w.edges {
		if got := w.body(e); got != "1" {
			t.Errorf("a promoted version: %s", got)
		}
	}
	w.edges[1].stop() // its file has the old rules, and the store the new
	w.edges[1] = w.start("b")
	if got := w.body(w.edges[1]); got != "1" {
		t.Errorf("an edge that starts after the promotion, with its old file: %s", got)
	}
	for i, e := range w.edges {
		if w.record().Phase != rollout.Promoted {
			t.Errorf("%s before the file of %d edges has it", w.record().Phase, len(w.edges)-i)
		}
		b, err := os.ReadFile(e.file.Path)
		if err == nil {
			err = os.WriteFile(e.file.Path, []byte(strings.ReplaceAll(string(b), w.urls[0], w.urls[1])), 0o600)
		}
		if _, rerr := e.reload(); err != nil || rerr != nil {
			t.Fatal(err, rerr)
		}
	}
	w.until("done", func() bool { return w.record().Phase == rollout.Done && w.serving() == 0 })
	for _, e := range w.edges {
		if got := w.body(e); got != "1" {
			t.Errorf("when the files have it: %s", got)
		}
	}
	if w.wrong.Load() != 0 {
		t.Errorf("%d requests of the current version were answered otherwise", w.wrong.Load())
	}
}

// TestRollbackNeedsNoStore: edges that are cut off from it roll back at once, and
// it hears of it when it is there again. Control: an edge that hears nobody
// either goes on.
func TestRollbackNeedsNoStore(t *testing.T) {
	w := newRollingWorld(t)
	w.begin(client.RolloutStart{Percent: 30})
	for _, e := range w.edges {
		e.end.setCut(true)
	}
	lonely := w.edges[2]
	w.deaf.Store("c")
	w.edges = w.edges[:2] // nobody asks the third
	w.bad[1].Store(true)
	w.until("rolled back without the store", func() bool { return w.serving() == 0 })
	if w.record().Phase != rollout.Staged {
		t.Errorf("the store says %s", w.record().Phase)
	}
	if v, _ := lonely.door.Rollout(); v == "" {
		t.Error("control: an edge that nobody tells has rolled back, too")
	}
	w.deaf.Store("")
	w.until("told to the third", func() bool { v, _ := lonely.door.Rollout(); return v == "" })
	for _, e := range w.edges {
		e.end.setCut(false)
	}
	w.until("in the store", func() bool { return w.record().Phase == rollout.RolledBack })
}

// TestWhatAnEdgeCannotTakeIsRolledBack: its file has gone since, or its rest is
// another.
func TestWhatAnEdgeCannotTakeIsRolledBack(t *testing.T) {
	w := newRollingWorld(t)
	for rules, want := range map[string]string{
		"behaviors: [{path: '*', origin: nobody}]\n": "nobody",
		"domain: evil.example.test\n":                "domain",
		"behaviours: []\n":                           "behaviours",
	} {
		if err := w.edges[0].check([]byte(rules)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rules, err)
		}
	}
	rec, err := recordOf(client.RolloutStart{Percent: 10, MinRequests: 1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changeRollout(t.Context(), w.edges[0].end, begun(rec)); err != nil {
		t.Fatal(err)
	}
	w.until("rolled back", func() bool { return w.record().Phase == rollout.RolledBack })
	if why := w.record().Why; !strings.Contains(why, "cannot take it: the store does not have its rules") {
		t.Error(why)
	}
}

// FuzzReadReport: what is read of another edge can be summed.
func FuzzReadReport(f *testing.F) {
	f.Add(mustJSON(rollout.Report{Version: "r1", Serves: true}))
	f.Add([]byte(`{"arms":{"staged":{"step":{"requests":-1}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReport(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		sum := rollout.Sum([]rollout.Report{r, r, r})
		if sum.Staged.Step.Requests < 0 || sum.Staged.Step.Errors > sum.Staged.Step.Requests {
			t.Errorf("%+v", r)
		}
		if _, err := json.Marshal(sum); err != nil {
			t.Error(err)
		}
		rollout.Gate{MinRequests: 1}.Judge(sum)
	})
}

// TestAStatusShowsWhatIsWorthALook: what is under way, and for an hour what the
// gate took back.
func TestAStatusShowsWhatIsWorthALook(t *testing.T) {
	now := time.Unix(100_000, 0)
	for _, c := range []struct {
		phase rollout.Phase
		since time.Duration
		want  bool
	}{
		{rollout.Staged, 100 * time.Hour, true}, {rollout.Promoted, time.Minute, true}, {rollout.RolledBack, time.Minute, true},
		{rollout.RolledBack, 2 * time.Hour, false}, {rollout.Aborted, time.Minute, false}, {rollout.Done, time.Minute, false}, {"", 0, false},
	} {
		if got := noteworthy(rollout.Record{Phase: c.phase, Changed: now.Add(-c.since)}, now); got != c.want {
			t.Errorf("%q since %v: %v", c.phase, c.since, got)
		}
	}
}
