package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/test/harness"
	"meridian/test/operator"
)

// TestSwitchoversInARowCostNoErrorAndNoWrite makes a few; `make switchovers N=50`
// makes fifty, and holds them to the pause that is promised.
func TestSwitchoversInARowCostNoErrorAndNoWrite(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "episodes", "testdata", "world.yaml")
	promise, err := promises(file)
	if err != nil {
		t.Fatal(err)
	}
	w, end, err := operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), file, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	s := settings{count: 3, clients: 1, pace: 50 * time.Millisecond, noisy: true, promise: promise}
	if err := run(t.Context(), w, s, t.Output()); err != nil {
		t.Error(err)
	}
}

// TestASwitchoverThatSparesGivesUpAndSaysWhy meets a session with a temporary
// table: the primary stays, and so does the session. When that is gone, the
// same command moves it.
func TestASwitchoverThatSparesGivesUpAndSaysWhy(t *testing.T) {
	t.Parallel()
	w, end, err := operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("..", "episodes", "testdata", "world.yaml"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	s, err := w.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), s.Regions[0].Postgres)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "create temp table mine (v int)"); err != nil {
		t.Fatal(err)
	}
	to := s.Regions[1].Name
	if _, err := w.Run(t.Context(), "switchover", to, "--yes", "--wait=300ms"); err == nil || !strings.Contains(err.Error(), "1 session cannot move: 1 for ") {
		t.Errorf("the command says %v", err)
	}
	if _, err := c.Exec(t.Context(), "insert into mine values (1)"); err != nil {
		t.Errorf("the session was not spared: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if said, err := w.Run(t.Context(), "switchover", to, "--yes", "--wait"); err != nil || !strings.Contains(said, " 0 sessions could not move") {
		t.Errorf("%q, %v", said, err)
	}
}

// TestWhatIsLostOrFailedIsFound is the control of the judge.
func TestWhatIsLostOrFailedIsFound(t *testing.T) {
	l := &load{acked: map[int64]time.Duration{1: 1, 2: 2}}
	if wrong := l.judge([]int64{1, 2, 3}); len(wrong) != 0 {
		t.Errorf("%v, though all are there", wrong)
	}
	if wrong := l.judge([]int64{1, 3}); len(wrong) != 1 {
		t.Errorf("one is lost: %v", wrong)
	}
	l.fail("iad", errors.New("08007"))
	if wrong := l.judge([]int64{1, 2}); len(wrong) != 1 {
		t.Errorf("one failed: %v", wrong)
	}
	s := settings{promise: func(string, string) time.Duration { return 440 * time.Millisecond }}
	for pause, want := range map[time.Duration]int{400 * time.Millisecond: 0, 500 * time.Millisecond: 1} {
		if wrong := s.judge([]round{{from: "a", to: "b", pause: pause}}, t.Output()); len(wrong) != want {
			t.Errorf("a pause of %v: %v", pause, wrong)
		}
	}
}
