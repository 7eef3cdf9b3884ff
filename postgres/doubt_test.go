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
// Control: without the horizon it is said of what was not looked for.
func TestDecideOutcome(t *testing.T) {
	promoted := Outcomes{Timeline: 3, Fork: 0x500, Forks: map[uint32]meridian.LSN{1: 0x300, 2: 0x500}, Since: 0x100, Handles: map[string]meridian.LSN{"aa": 0x480}}
	first := Outcomes{Timeline: 1, Forks: map[uint32]meridian.LSN{}}
	statement := wire.Doubt{Region: "iad", Primary: "dub", Timeline: 2, Since: 0x400, Handle: "bb"}
	edit := func(f func(*wire.Doubt)) wire.Doubt { q := statement; f(&q); return q }
	old := edit(func(q *wire.Doubt) { q.Since = 0x80 })
	for _, tt := range []struct {
		name string
		q    wire.Doubt
		o    Outcomes
		want meridian.Outcome
	}{
		{"a statement that is in the log", edit(func(q *wire.Doubt) { q.Handle = "aa" }), promoted, meridian.Committed},
		{"one that is not", statement, promoted, meridian.Lost},
		{"one that was sent after the fork", edit(func(q *wire.Doubt) { q.Since = 0x700 }), promoted, meridian.Lost},
		{"one of whose time the log is gone", old, promoted, meridian.Unknown},
		{"a primary that was never promoted", statement, first, meridian.Unknown},
		{"the same primary", edit(func(q *wire.Doubt) { q.Primary, q.Timeline = "iad", 3 }), promoted, meridian.Unknown},
		{"the same region, promoted since", edit(func(q *wire.Doubt) { q.Primary = "iad" }), promoted, meridian.Lost},
	} {
		if got := decideOutcome(tt.q, tt.o, false); got.Is != tt.want || got.Why == "" {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
	if got := decideOutcome(old, promoted, true); got.Is != meridian.Lost {
		t.Errorf("control: %v", got)
	}
}
