package postgres

import (
	"context"
	"testing"
	"time"

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
			for _, r := range []meridian.Region{dub, sin} {
				s := w.superuser(w.servers[r])
				w.eventually("the table is there", func() bool { return get[bool](w.world, s, "select to_regclass('doubted') is not null") })
			}
			for _, p := range w.proxies {
				p.noHandles = tt.control
			}
			w.exec(two, "begin", "insert into doubted values (2)")
			auto, end := background(one, "insert into doubted values (1)"), background(two, "commit")
			procedure := background(bare, "do 'begin insert into doubted values (3); end'")
			w.stalled(3)
			if !tt.replicated {
				for _, r := range []meridian.Region{dub, sin} {
					if err := w.servers[r].Deafen(); err != nil {
						t.Fatal(err)
					}
				}
			}
			w.links[iad].silence()
			release()
			w.stalled(0)
			su := w.superuser(w.servers[iad])
			w.eventually("they are committed", func() bool { return get[int](w.world, su, "select count(*) from doubted") == 3 })
			if tt.replicated {
				for _, r := range []meridian.Region{dub, sin} {
					s := w.superuser(w.servers[r])
					w.eventually("and replicated", func() bool { return get[int](w.world, s, "select count(*) from doubted") == 3 })
				}
			}
			if err := w.servers[iad].Crash(); err != nil {
				t.Fatal(err)
			}
			w.links[iad].sever()
			if err := w.servers[dub].Promote(); err != nil {
				t.Fatal(err)
			}
			w.point(dub)
			if err := w.servers[sin].Follow(w.servers[dub]); err != nil {
				t.Fatal(err)
			}
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

// TestDecideOutcome: only who was promoted since may say that it is lost.
func TestDecideOutcome(t *testing.T) {
	promoted := Outcomes{Timeline: 3, Fork: 0x500, Forks: map[uint32]meridian.LSN{1: 0x300, 2: 0x500}, Since: 0x100, Handles: map[string]meridian.LSN{"aa": 0x480}}
	first := Outcomes{Timeline: 1, Forks: map[uint32]meridian.LSN{}}
	statement := wire.Doubt{Statement: true, Region: "iad", Primary: "dub", Timeline: 2, Since: 0x400, Handle: "bb"}
	edit := func(q wire.Doubt, f func(*wire.Doubt)) wire.Doubt { f(&q); return q }
	token := wire.Doubt{Timeline: 2, LSN: 0x600, Wrote: 0x580, Handle: "bb"}
	for _, tt := range []struct {
		name string
		q    wire.Doubt
		o    Outcomes
		want string
	}{
		{"a statement that is in the log", edit(statement, func(q *wire.Doubt) { q.Handle = "aa" }), promoted, outCommitted},
		{"one that is not", statement, promoted, outLost},
		{"one that was sent after the fork", edit(statement, func(q *wire.Doubt) { q.Since = 0x700 }), promoted, outLost},
		{"one of whose time the log is gone", edit(statement, func(q *wire.Doubt) { q.Since = 0x80 }), promoted, outUnknown},
		{"a primary that was never promoted", statement, first, outUnknown},
		{"the same primary", edit(statement, func(q *wire.Doubt) { q.Primary, q.Timeline = "iad", 3 }), promoted, outUnknown},
		{"the same region, promoted since", edit(statement, func(q *wire.Doubt) { q.Primary = "iad" }), promoted, outLost},
		{"a token before the fork", edit(token, func(q *wire.Doubt) { q.LSN = 0x500 }), promoted, outValid},
		{"a token of now", edit(token, func(q *wire.Doubt) { q.Timeline = 3 }), promoted, outValid},
		{"past the fork, its write before", edit(token, func(q *wire.Doubt) { q.Wrote = 0x500 }), promoted, outCommitted},
		{"past the fork, acknowledged past it, committed before", edit(token, func(q *wire.Doubt) { q.Handle = "aa" }), promoted, outCommitted},
		{"past the fork, and wrote nothing", edit(token, func(q *wire.Doubt) { q.Handle, q.Wrote = "", 0 }), promoted, outReadOnly},
		{"past the fork, and its write with it", token, promoted, outLost},
		{"past the fork, and its log is gone", token, Outcomes{Timeline: 3, Fork: 0x500, Forks: promoted.Forks, Since: 0x500}, outUnknown},
	} {
		if got := decideOutcome(tt.q, tt.o); got.Is != tt.want || got.Why == "" {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Is, got.Why, tt.want)
		}
	}
}
