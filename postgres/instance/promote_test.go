package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
)

// TestPrimaryMovesBackAndForth writes a row between the moves and looks for
// all of them everywhere. Nobody copies or rewinds anything for it.
func TestPrimaryMovesBackAndForth(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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

// TestHaltKnowsTheEndBeforeTheStandbyDoes holds the log on its way: Halt returns
// all the same, with the position that Stop then confirms, and the standby that
// waits for it has all. Control: Stop alone does not return.
func TestHaltKnowsTheEndBeforeTheStandbyDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (n int)")
	b.eventually("SELECT count(*) FROM t", "0")
	release := w.hold(b.cfg.Region)
	a.must("INSERT INTO t VALUES (1)")
	at, err := a.Halt(w.patient())
	w.check(err)
	stopped := make(chan Stopped, 1)
	go func() {
		at, err := a.Stop(w.patient())
		if err != nil {
			t.Error(err)
		}
		stopped <- at
	}()
	select {
	case <-stopped:
		t.Error("the end of the log is held, and Stop returned")
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if got := <-stopped; got != at || at.LSN == 0 {
		t.Errorf("halted at %+v, stopped at %+v", at, got)
	}
	if p := w.promote(b, at.LSN); p.Fork != at.LSN || p.Before != 1 {
		t.Errorf("halted at %s, promoted as %+v", at.LSN, p)
	}
	if got := b.must("SELECT count(*) FROM t"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

func TestPromotionGivesUpOnAGateThatNeverComes(t *testing.T) {
	t.Parallel()
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

// TestPromotedPrimaryOutlivesACrashBeforeItsFirstCheckpoint kills it at once.
func TestPromotedPrimaryOutlivesACrashBeforeItsFirstCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1", "ap-south-1")
	a, b, c := w.all[0], w.all[1], w.all[2]
	a.must("CREATE TABLE t (n int)")
	b.chores = nil // no checkpoint
	w.promote(b, w.stop().LSN)
	b.write(1)
	b.crash()
	b.eventually("SELECT count(*) FROM t", "1")
	if r, err := b.Report(w.patient()); err != nil || r.Role != Primary || b.Role() != Primary {
		t.Errorf("came back as %+v, %v", r, err)
	}
	c.eventually("SELECT count(*) FROM t", "1")
}

// TestReservedTimelinesDoNotKeepAStandbyFromStarting leaves what a promotion
// that was cut off leaves. The negative control is PostgreSQL alone.
func TestReservedTimelinesDoNotKeepAStandbyFromStarting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (n int)")
	w.check(b.reserve(1, 5))
	_, err := b.Stop(w.patient())
	w.check(err)
	ctx, cancel := context.WithCancelCause(w.patient())
	said := errors.New("as expected")
	log := b.log
	b.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "started streaming") { // readers are let in before that, if ever
			if _, status := b.postmaster(); status != "ready" {
				cancel(said)
			}
		}
		return len(p), nil
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	err = b.serve(ctx, Standby, nil, func() { t.Error("it started: the control controls nothing") })
	if b.log = log; !errors.Is(err, said) {
		t.Errorf("the control ended with %v", err)
	}
	w.check(b.Start(w.patient(), Standby))
	b.eventually("SELECT count(*) FROM t", "0")
	w.term = 5
	if p := w.promote(b, w.stop().LSN); p.Timeline != 6 {
		t.Errorf("promoted as %+v", p)
	}
	b.write(1)
	w.check(a.Start(w.patient(), Standby)) // fetches what is reserved, too
	a.eventually("SELECT count(*) FROM t", "1")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestStopThatAFrozenStandbyHoldsUpEndsByForce: it waits for the standby to
// have the log, until it may not wait any longer.
func TestStopThatAFrozenStandbyHoldsUpEndsByForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	a, b := w.all[0], w.all[1]
	a.must("CREATE TABLE t (n int)")
	b.eventually("SELECT count(*) FROM t", "0")
	release := w.hold(b.cfg.Region)
	defer release()
	a.write(1)
	ctx, cancel := shortly(t)
	defer cancel()
	if at, err := a.Stop(ctx); meridian.KindOf(err) != meridian.Unavailable || a.running.Load() != 0 {
		t.Errorf("stopped at %+v, %v", at, err)
	}
	w.check(a.Start(w.patient(), Primary))
	if got := a.must("SELECT count(*) FROM t"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

func TestRolesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1", "eu-west-1")
	if err := w.all[0].Start(w.patient(), Standby); meridian.KindOf(err) != meridian.Invalid {
		t.Errorf("a running primary was started as a standby: %v", err)
	}
	idle := idleWorld(t, "us-east-1").all[0]
	if _, err := idle.Stop(t.Context()); meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("stopped without Run: %v", err)
	}
	if err := idle.Start(t.Context(), Primary); meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("started without Run: %v", err)
	}
	if _, err := idle.Promote(t.Context(), 0, nil); meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("promoted without Run: %v", err)
	}
}
