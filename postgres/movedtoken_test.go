package postgres

import (
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian"
)

// TestATokenOutlivesAPlannedMove ends invocations that wrote where the primary was
// when it has moved as planned, and PostgreSQL follows the new one: all that was
// acknowledged was handed over, so that nobody hears of a write that may be lost.
// In the controls nobody planned it, or where it ended is not told yet: the write is
// looked for.
func TestATokenOutlivesAPlannedMove(t *testing.T) {
	t.Parallel()
	var forks atomic.Pointer[[]Fork]
	forks.Store(&[]Fork{})
	w := newTrio(t, func(_ *Config, d *Deps) { d.Forks = func() []Fork { return *forks.Load() } })
	home := w.proxies[iad]
	w.exec(w.superuser(w.servers[iad]), "create table outlives (v int)", "grant all on outlives to conduit")
	begin := func(name string) (end func() meridian.Observation) {
		c := w.attach(home, name)
		end = home.Begin(t.Context(), name, meridian.Token{}, meridian.Promise{})
		w.exec(c, "insert into outlives values (1)")
		return end
	}
	untold, planned, lost := begin("untold"), begin("planned"), begin("lost")
	w.move(dub, 0)
	o, err := readsLog(w.servers[dub])(t.Context(), 0)
	w.check(err)
	w.eventually("the old primary follows the new one", func() bool {
		s, err := home.watch.sample(t.Context())
		return err == nil && s.standby && s.seen.Timeline == o.Timeline
	})
	token := untold().Token
	if f := home.Fate(token); f.Is != meridian.Sought {
		t.Errorf("control, nobody told of it: %s: %+v", token, f)
	}
	fork := Fork{Timeline: 1, LSN: o.Fork, Next: o.Timeline, Planned: true}
	forks.Store(&[]Fork{fork})
	token = planned().Token
	if f := home.Fate(token); f.Is != meridian.Valid || token.LSN < o.Fork {
		t.Errorf("%s, after a fork at %s: %+v", token, o.Fork, f)
	}
	fork.Planned = false
	forks.Store(&[]Fork{fork})
	token = lost().Token
	if f := home.Fate(token); f.Is != meridian.Sought {
		t.Errorf("control, nobody planned it: %s: %+v", token, f)
	}
}

// TestAStandbyThatCannotFollowIsOnItsOldTimeline: it had come further than the history
// of the new primary reached, whose history file it has got, and what it shows is not
// of that timeline. Who wrote on that reads it elsewhere.
func TestAStandbyThatCannotFollowIsOnItsOldTimeline(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	su := w.superuser(w.servers[iad])
	w.exec(su, "create table further (v int)", "grant all on further to conduit")
	w.standbys("the table is there", "select to_regclass('further') is not null")
	w.check(w.servers[dub].Deafen())
	w.exec(su, "insert into further select 0 from generate_series(1, 1000)")
	c := w.superuser(w.servers[sin])
	w.eventually("one standby has come further", func() bool { return get[bool](w.world, c, "select exists (select from further)") })
	w.lose(iad)
	w.check(w.servers[dub].Promote())
	w.point(dub)
	w.check(w.servers[sin].Follow(w.servers[dub]))
	w.eventually("it has the new history", func() bool {
		return get[bool](w.world, c, "select exists (select from pg_ls_waldir() where name like '%.history')")
	})
	o, err := readsLog(w.servers[dub])(t.Context(), 0)
	w.check(err)
	p := w.proxies[sin]
	own := newWatch(p, p.own()) // anew, as after a start
	conn, id, err := own.connect(t.Context())
	w.check(err)
	defer conn.Close()
	w.check(own.round(conn, &id, nil))
	s := own.known()
	if s.seen.LSN <= o.Fork {
		t.Fatalf("it is at %s, and the history went on from %s", s.seen, o.Fork)
	}
	if s.seen.Timeline != 1 {
		t.Errorf("what is at %s, past the fork at %s, is said to be of timeline %d", s.seen.LSN, o.Fork, s.seen.Timeline)
	}
	// invoke does what a function would that a caller with a token asks for.
	invoke := func(r meridian.Region, floor meridian.Token, do func(*pgx.Conn)) meridian.Token {
		name := "further-" + string(r)
		c := w.attach(w.proxies[r], name)
		end := w.proxies[r].Begin(t.Context(), name, floor, meridian.Promise{})
		do(c)
		return end().Token
	}
	wrote := invoke(dub, meridian.Token{}, func(c *pgx.Conn) { w.exec(c, "insert into further values (1)") })
	if wrote.Timeline != o.Timeline || wrote.LSN > s.seen.LSN {
		t.Fatalf("the write is at %s, not before %s", wrote, s.seen)
	}
	invoke(sin, wrote, func(c *pgx.Conn) {
		if !get[bool](w.world, c, "select exists (select from further where v = 1)") {
			t.Error("a read that brings the write's token does not see it")
		}
	})
}

// TestAPositionIsOnItsTimeline looks where a standby is that followed a new primary and
// does not receive any more, so that it does not say on which timeline it is. Its
// position is not taken for one of the timeline on which it was before. In the control
// it is.
func TestAPositionIsOnItsTimeline(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	p := w.proxies[sin]
	looks := func() (round func() sample) {
		own := newWatch(p, p.own()) // nobody else has it asked meanwhile
		conn, id, err := own.connect(t.Context())
		w.check(err)
		t.Cleanup(func() { conn.Close() })
		return func() sample {
			w.check(own.round(conn, &id, nil))
			return own.known()
		}
	}
	now, control := looks(), looks()
	if before := now(); before.seen.Timeline != 1 || control().seen.Timeline != 1 {
		t.Fatalf("before: %s", before.seen)
	}
	w.move(dub, 0)
	o, err := readsLog(w.servers[dub])(t.Context(), 0)
	w.check(err)
	c := w.superuser(w.servers[sin])
	w.eventually("it is past the fork", func() bool {
		return get[bool](w.world, c, "select pg_last_wal_replay_lsn() > $1::pg_lsn", o.Fork.String())
	})
	w.check(w.servers[sin].Deafen())
	w.eventually("it receives nothing", func() bool {
		return get[bool](w.world, c, "select not exists (select received_tli from pg_stat_get_wal_receiver() where received_tli is not null)")
	})
	if s := now(); s.seen.Timeline != o.Timeline || s.seen.LSN <= o.Fork {
		t.Errorf("%s, after a fork at %s", s.seen, o.Fork)
	}
	p.trustsTimeline = true
	if s := control(); s.seen.Timeline != 1 || s.seen.LSN <= o.Fork {
		t.Errorf("control: %s, after a fork at %s", s.seen, o.Fork)
	}
}
