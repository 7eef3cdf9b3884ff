package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
	"meridian/postgres/instance"
	"meridian/postgres/pgtest"
	"meridian/postgres/wire"
)

// readsLog is what a node gives its proxy for Deps.Outcomes.
func readsLog(s *pgtest.Server) func(context.Context, meridian.LSN) (Outcomes, error) {
	return func(ctx context.Context, since meridian.LSN) (Outcomes, error) {
		var found instance.Outcomes
		err := found.Find(ctx, s.Dir, since)
		o := Outcomes{Timeline: found.Timeline, Fork: found.Fork, Forks: found.Forks, Since: found.Since, Handles: map[string]meridian.LSN{}}
		for h, c := range found.Handles {
			o.Handles[h] = c.LSN
		}
		return o, err
	}
}

// stalls makes a table whose transactions wait as they commit, for whoever
// holds the lock that is returned.
func (w *trio) stalls(table string) (release func()) {
	w.t.Helper()
	su := w.superuser(w.servers[iad])
	w.exec(su, "create table "+table+" (v int)", "grant all on "+table+" to conduit",
		"create function stall_"+table+"() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(7); return null; end'",
		"create constraint trigger stall after insert on "+table+" deferrable initially deferred for each row execute function stall_"+table+"()",
		"select pg_advisory_lock(7)")
	return func() { w.exec(su, "select pg_advisory_unlock(7)") }
}

// stalled waits until so many transactions wait as they commit.
func (w *trio) stalled(n int) {
	w.t.Helper()
	su := w.superuser(w.servers[iad])
	w.eventually("they wait", func() bool {
		return get[int](w.world, su, "select count(*) from pg_locks where locktype = 'advisory' and not granted") == n
	})
}

// TestWhatWasInDoubtIsAnswered loses the primary before it has answered: the
// successor's log tells what became of it. Controls, in the same test: without
// handles nobody can say, and it is 08007.
func TestWhatWasInDoubtIsAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		replicated bool
		control    bool
		auto, end  string // what is said of an autocommit write, and of COMMIT
	}{
		{"committed", true, false, stateCommitted, ""},
		{"lost", false, false, stateUndone, stateUndone},
		{"no handles", true, true, stateInDoubt, stateInDoubt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTrio(t, func(c *Config, _ *Deps) {
				c.PrimaryTimeout, c.DoubtBudget = 300*time.Millisecond, 8*time.Second
			})
			release := w.stalls("doubted")
			one, two, bare := w.connect(dsn(w.proxies[sin])), w.connect(dsn(w.proxies[sin])), w.connect(dsn(w.proxies[dub]))
			w.standbys("the table is there", "select to_regclass('doubted') is not null")
			for _, p := range w.proxies {
				p.noHandles = tt.control
			}
			w.exec(two, "begin", "insert into doubted values (2)")
			auto, end := background(one, "insert into doubted values (1)"), background(two, "commit")
			procedure := background(bare, "do 'begin insert into doubted values (3); end'")
			w.stalled(3)
			if !tt.replicated {
				w.deafen()
			}
			w.links[iad].silence()
			release()
			w.stalled(0)
			su := w.superuser(w.servers[iad])
			w.eventually("they are committed", func() bool { return get[int](w.world, su, "select count(*) from doubted") == 3 })
			if tt.replicated {
				w.standbys("and replicated", "select count(*) = 3 from doubted")
			}
			w.lose(iad)
			w.check(w.servers[dub].Promote())
			w.point(dub)
			w.check(w.servers[sin].Follow(w.servers[dub]))
			for what, x := range map[string]struct {
				done <-chan error
				want string
			}{"autocommit": {auto, tt.auto}, "COMMIT": {end, tt.end}, "DO, which takes no handle": {procedure, stateInDoubt}} {
				if err := <-x.done; state(err) != x.want {
					t.Errorf("%s: %v, want %q", what, err, x.want)
				}
			}
			want := 0
			if tt.replicated {
				want = 3
			}
			if tt.end == "" || !tt.control && tt.end == stateUndone { // the sessions go on
				if n := get[int](w.world, two, "select count(*) from doubted"); n != want {
					t.Errorf("%d rows, want %d", n, want)
				}
			}
			if n := get[int](w.world, one, "select count(*) from doubted"); n != want {
				t.Errorf("%d rows, want %d", n, want)
			}
		})
	}
}

// TestDecideOutcome runs the script of testdata/outcome.
func TestDecideOutcome(t *testing.T) {
	lsn := func(d *datadriven.TestData, key string) meridian.LSN {
		var s string
		if d.MaybeScanArgs(t, key, &s); s == "" {
			return 0
		}
		at, err := meridian.ParseLSN(s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	var o Outcomes
	datadriven.RunTest(t, "testdata/outcome", func(t *testing.T, d *datadriven.TestData) string {
		var timeline, sent, on int
		switch d.Cmd {
		case "log":
			d.ScanArgs(t, "timeline", &timeline)
			o = Outcomes{Timeline: uint32(timeline), Since: lsn(d, "since"), Forks: map[uint32]meridian.LSN{}, Handles: map[string]meridian.LSN{}}
			for line := range strings.Lines(d.Input) {
				var what, at string
				fmt.Sscan(line, &what, &at)
				end, err := meridian.ParseLSN(at)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := strconv.Atoi(what); err == nil {
					o.Forks[uint32(n)], o.Fork = end, max(o.Fork, end)
				} else {
					o.Handles[what] = end
				}
			}
			return ""
		case "ask":
			q := wire.Doubt{Since: lsn(d, "since")}
			d.ScanArgs(t, "handle", &q.Handle)
			d.MaybeScanArgs(t, "sent", &sent)
			d.ScanArgs(t, "on", &on)
			q.Timeline, q.SinceOn = uint32(sent), uint32(on)
			got := decideOutcome(q, o, controls{ownTimeline: d.HasArg("own-timeline"), noHorizon: d.HasArg("no-horizon")})
			return fmt.Sprintf("%s: %s\n", got.Is, got.Why)
		}
		return "unknown command"
	})
}

// TestAPrimaryThatCameBackInPlaceCallsNothingLost: the primary moves; a region
// that has not heard of its new timeline sends it a write; it is killed before it
// has answered, and comes back in place, with the write. Control, in the same
// test: who takes that server to be on the timeline that it knows itself says
// that the write is lost.
func TestAPrimaryThatCameBackInPlaceCallsNothingLost(t *testing.T) {
	t.Parallel()
	for _, control := range []bool{false, true} {
		w := newTrio(t, func(c *Config, _ *Deps) {
			c.PrimaryTimeout, c.DoubtBudget = 300*time.Millisecond, 8*time.Second
		})
		for _, p := range w.proxies {
			p.ownTimeline = control
		}
		su := w.superuser(w.servers[iad])
		w.exec(su, "create table inplace (v int)", "grant all on inplace to conduit")
		other := w.superuser(w.servers[dub])
		w.standbys("the table is there", "select to_regclass('inplace') is not null")
		w.check(w.servers[sin].Deafen()) // it stays on the old timeline
		c := w.connect(dsn(w.proxies[sin]))
		get[int](w.world, c, "select count(*) from inplace")
		if _, err := w.proxies[sin].watch.sample(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.check(w.servers[iad].Shutdown())
		w.check(w.servers[dub].Promote())
		w.point(dub)
		w.exec(other, "create function stall_inplace() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(7); return null; end'",
			"create constraint trigger stall after insert on inplace deferrable initially deferred for each row execute function stall_inplace()",
			"select pg_advisory_lock(7)")
		done := background(c, "insert into inplace values (1)")
		w.eventually("it waits", func() bool {
			return get[int](w.world, other, "select count(*) from pg_locks where locktype = 'advisory' and not granted") == 1
		})
		w.links[dub].silence()
		w.exec(other, "select pg_advisory_unlock(7)")
		w.eventually("it is committed", func() bool { return get[int](w.world, other, "select count(*) from inplace") == 1 })
		w.lose(dub)
		w.check(w.servers[dub].Again(nil))
		w.links[dub].mend()
		want, why := stateInDoubt, "not replaced"
		if control {
			want, why = stateUndone, "not in the log"
		}
		var e *pgconn.PgError
		if err := <-done; !errors.As(err, &e) || e.Code != want || !strings.Contains(e.Detail, why) {
			t.Errorf("control %v: %+v, want %s as it is %s", control, e, want, why)
		}
		if n := get[int](w.world, w.superuser(w.servers[dub]), "select count(*) from inplace"); n != 1 {
			t.Errorf("%d rows are there", n)
		}
	}
}

// TestOnlyWhoMayActSaysWhatBecameOfAWrite: a primary whose lease has ended may
// have been replaced.
func TestOnlyWhoMayActSaysWhatBecameOfAWrite(t *testing.T) {
	t.Parallel()
	var until atomic.Int64
	until.Store(math.MaxInt64)
	w := newTrio(t, func(_ *Config, d *Deps) {
		d.Lease = func() (time.Duration, uint64) { return time.Duration(until.Load()), 1 }
	})
	p := w.proxies[iad]
	q := wire.Doubt{Handle: "aa", Timeline: 1, SinceOn: 1}
	if a, err := p.outcome(t.Context(), q); err != nil || a.Outcome != string(meridian.Unknown) {
		t.Errorf("with a lease: %+v, %v", a, err)
	}
	until.Store(0)
	if a, err := p.outcome(t.Context(), q); err == nil {
		t.Errorf("without: %+v", a)
	}
}
