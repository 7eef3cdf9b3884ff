package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/pgtest"
)

// TestTheTokenIsSampledAfterTheRead reads what was replayed after the
// invocation began: its token must hold that. In the control, which samples
// before, the token is older than what was read.
func TestTheTokenIsSampledAfterTheRead(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := newWorld(t)
		w.dub.sampleFirst = first
		c := w.attach(w.dub, "sampled")
		home := w.connect(dsn(w.iad))
		w.exec(home, "drop table if exists sampled", "create table sampled (v int)", "insert into sampled values (1)")
		w.caughtUp(c)
		end := w.dub.Begin(t.Context(), "sampled", meridian.Token{}, meridian.Promise{})
		w.exec(home, "update sampled set v = 2")
		at, err := w.iad.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !w.dub.watch.wait(t.Context(), at, 10*time.Second) {
			t.Fatal("the standby does not catch up")
		}
		if v := get[int](w, c, "select v from sampled"); v != 2 {
			t.Fatalf("read %d", v)
		}
		if o := end(); at.Newer(o.Token) != first {
			t.Errorf("sampled first: %v; read what %s wrote, with the token %s", first, at, o.Token)
		}
	}
}

// TestTheTokenIsTheFlushedPosition reads on the primary while a transaction
// that does not end writes WAL that nobody flushes. No token may name what is
// not flushed: a standby would be waited for in vain. In the control, which
// takes the position of the next insert, one does.
func TestTheTokenIsTheFlushedPosition(t *testing.T) {
	w := newWorld(t)
	c, home := w.attach(w.iad, "flushpos"), w.connect(dsn(w.iad))
	w.exec(home, "drop table if exists flushpos", "create table flushpos (v text)")
	stop := w.writeOn(home)
	defer stop()
	ask := w.connect(dsn(w.iad))
	beyond := func() bool {
		end := w.iad.Begin(t.Context(), "flushpos", meridian.Token{}, meridian.Promise{})
		w.exec(c, "select 1")
		o := end()
		flushed, err := meridian.ParseLSN(get[string](w, ask, "select pg_current_wal_flush_lsn()::text"))
		if err != nil || o.Token.IsZero() {
			t.Fatalf("token %q, %v", o.Token, err)
		}
		return o.Token.LSN > flushed
	}
	for range 300 {
		if beyond() {
			t.Fatal("a token names what is not flushed")
		}
	}
	w.iad.insertPositions = true
	defer func() { w.iad.insertPositions = false }()
	w.eventually("the control names what is not flushed", beyond)
}

// TestAsynchronousCommitsAreReadBack writes without waiting for the flush, and
// reads on the standby at once, which cannot have what is not flushed. In the
// control, which takes the flushed position, a read is old.
func TestAsynchronousCommitsAreReadBack(t *testing.T) {
	w, c := fixture(t, "unflushed")
	w.exec(c, "set synchronous_commit = off")
	su := w.superuser(pair.primary)
	// Each read waits for the next flush: many of those are in a second, and yet
	// a read takes a fraction of what is between two.
	w.exec(su, "alter system set wal_writer_delay = '20ms'", "select pg_reload_conf()")
	defer w.exec(su, "alter system reset wal_writer_delay", "select pg_reload_conf()")
	n := 10
	stale := func() bool {
		n++
		w.exec(c, fmt.Sprintf("update unflushed set v = %d where id = 1", n))
		return get[int](w, c, "select v from unflushed where id = 1") != n
	}
	for range 100 {
		if stale() {
			t.Fatal("a read is older than the write before it")
		}
	}
	w.iad.flushedAlone = true
	w.eventually("the control reads what is old", stale)
}

// TestTheSettingIsFoundWhereverItStands gives it by each way but SET.
func TestTheSettingIsFoundWhereverItStands(t *testing.T) {
	for name, sql := range map[string]string{
		"role":     "alter role current_user set synchronous_commit = off",
		"function": "create or replace function commits() returns void language sql set Synchronous_Commit = off as 'select'",
		"text":     "select set_config('SYNCHRONOUS_' || 'x', '', true) where 'synchronous_commit' <> ''",
	} {
		w := newWorld(t)
		home := w.connect(dsn(w.iad))
		if w.iad.unflushed.Load() {
			t.Fatalf("%s: it is found before anybody named it", name)
		}
		if name != "text" {
			w.exec(home, sql)
		} else if _, err := home.Exec(t.Context(), sql); err == nil {
			t.Error("that setting does not exist")
		}
		if !w.iad.unflushed.Load() {
			t.Errorf("%s: it is not found", name)
		}
		if name == "text" {
			continue
		}
		w.iad.unflushed.Store(false) // as after a restart
		w.eventually(name+": the catalogues tell", w.iad.unflushed.Load)
		w.exec(home, map[string]string{"role": "alter role current_user reset synchronous_commit", "function": "drop function commits()"}[name])
	}
}

// writeOn writes in one open transaction until stop is called.
func (w *world) writeOn(c *pgx.Conn) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	tx, err := c.Begin(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := tx.Exec(ctx, "insert into flushpos select repeat('x', 200) from generate_series(1, 50)"); err != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// TestATokenIsTakenWhilePostgreSQLIsAway ends an invocation that wrote when
// PostgreSQL is stopped for a move, also when the sessions go on elsewhere already.
// Its caller would read an older state elsewhere without the token that it gets. In
// the control it gets none.
func TestATokenIsTakenWhilePostgreSQLIsAway(t *testing.T) {
	for name, tt := range map[string]struct{ resumed, forgets bool }{"paused": {}, "resumed": {resumed: true}, "control": {forgets: true}} {
		t.Run(name, func(t *testing.T) {
			w, away := newAway(t, iad)
			w.iad.forgetsLast, w.iad.sampleOnce = tt.forgets, true
			c := w.attach(w.iad, "away")
			w.exec(w.connect(dsn(w.dub)), "drop table if exists away", "create table away (v int)")
			end := w.iad.Begin(t.Context(), "away", meridian.Token{}, meridian.Promise{})
			w.exec(c, "insert into away values (1)")
			at, err := w.iad.Position(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.iad.Pause(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
			away(pair.primary)
			if tt.resumed {
				w.iad.Resume()
			}
			if o := end(); at.Newer(o.Token) != tt.forgets || o.Token.IsZero() != tt.forgets {
				t.Errorf("what was written at %s has the token %s", at, o.Token)
			}
			w.iad.Resume()
		})
	}
}

// TestATokenIsTakenAfterACrash ends an invocation that wrote when PostgreSQL was killed,
// which starts again. What it acknowledged is in its log, so that the position which
// it names then holds it. In the control nobody waits for that.
func TestATokenIsTakenAfterACrash(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	p, server := w.proxies[iad], w.servers[iad]
	p.sampleFor = time.Minute
	w.exec(w.superuser(server), "create table crashed (v int)", "grant all on crashed to conduit")
	for _, once := range []bool{false, true} {
		name := fmt.Sprintf("crashed-%v", once)
		c := w.attach(p, name)
		end := p.Begin(t.Context(), name, meridian.Token{}, meridian.Promise{})
		w.exec(c, "insert into crashed values (1)")
		at, err := p.Position(t.Context())
		w.check(err)
		w.check(server.Crash())
		p.sampleOnce = once
		token := make(chan meridian.Token)
		go func() { token <- end().Token }() // it is received below
		if once {
			if got := <-token; !got.IsZero() {
				t.Errorf("control: %s", got)
			}
		}
		w.check(server.Again(nil))
		if once {
			break
		}
		if got := <-token; got.IsZero() || at.Newer(got) || got.Timeline != at.Timeline || got.Handle == "" {
			t.Errorf("what was written at %s has the token %s", at, got)
		}
	}
}

// TestATokenWaitsForTheStandbysAfterACrash: with a quorum PostgreSQL is where its
// standbys are. As long as they are not back that is less than it has acknowledged.
func TestATokenWaitsForTheStandbysAfterACrash(t *testing.T) {
	t.Parallel()
	w := newTrio(t, durable(meridian.Durability{Sync: dub}))
	p, server := w.proxies[iad], w.servers[iad]
	p.sampleFor = time.Minute
	w.exec(w.superuser(server), "create table awaited (v int)", "grant all on awaited to conduit")
	c := w.attach(p, "awaited")
	end := p.Begin(t.Context(), "awaited", meridian.Token{}, meridian.Promise{})
	w.exec(c, "insert into awaited values (1)")
	at, err := p.Position(t.Context())
	w.check(err)
	w.check(w.servers[dub].Deafen())
	w.check(server.Crash())
	token := make(chan meridian.Token)
	go func() { token <- end().Token }() // it is received below
	w.check(server.Again(nil))
	var early meridian.Token
	w.eventually("PostgreSQL says where it is", func() bool {
		early = p.watch.known().seen
		return early.System != 0
	})
	if !at.Newer(early) {
		t.Errorf("control: without its standbys it is at %s, and wrote at %s", early, at)
	}
	w.check(w.servers[dub].Follow(server))
	if got := <-token; got.IsZero() || at.Newer(got) {
		t.Errorf("what was written at %s has the token %s", at, got)
	}
}

// TestThePrimaryKnowsWhatACrashedStandbyShowed ends an invocation that read on a
// standby which is gone. In the control the primary is not asked.
func TestThePrimaryKnowsWhatACrashedStandbyShowed(t *testing.T) {
	for _, once := range []bool{false, true} {
		w, away := newAway(t, dub)
		w.dub.sampleOnce, w.dub.sampleFor = once, time.Minute
		c := w.attach(w.dub, "gone")
		end := w.dub.Begin(t.Context(), "gone", meridian.Token{}, meridian.Promise{})
		if get[int](w, c, "select 1") != 1 {
			t.Fatal("it reads something else")
		}
		at, err := w.dub.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		away(pair.standby)
		if o := end(); at.Newer(o.Token) != once || o.Token.IsZero() != once {
			t.Errorf("asked once: %v; what was read at %s has the token %s", once, at, o.Token)
		}
	}
}

// TestWhatAPauseKeptGoesWithTheNextWrite ends an invocation that wrote after a pause,
// when PostgreSQL is gone: the position of the pause is not at or past that. In the
// control it is named.
func TestWhatAPauseKeptGoesWithTheNextWrite(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		w, away := newAway(t, iad)
		w.iad.sampleOnce, w.iad.gate.keepsLast = true, keeps
		w.exec(w.connect(dsn(w.dub)), "drop table if exists kept", "create table kept (v int)")
		c := w.attach(w.iad, "kept")
		end := w.iad.Begin(t.Context(), "kept", meridian.Token{}, meridian.Promise{})
		w.exec(c, "insert into kept values (1)")
		if _, err := w.iad.Pause(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		w.iad.Resume()
		w.exec(c, "insert into kept values (2)")
		at, err := w.iad.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		away(pair.primary)
		if o := end(); o.Token.IsZero() == keeps || at.Newer(o.Token) != true {
			t.Errorf("keeps: %v; what was written at %s has the token %q", keeps, at, o.Token)
		}
	}
}

// newAway returns a world in which a region's PostgreSQL can go away.
func newAway(t *testing.T, region meridian.Region) (w *world, goes func(*pgtest.Server)) {
	var away atomic.Bool
	w = newWorld(t, func(c *Config, d *Deps) {
		local := d.Local
		d.Local = func(ctx context.Context) (net.Conn, error) {
			if away.Load() && c.Region == region {
				return nil, errors.New("it is away")
			}
			return local(ctx)
		}
	})
	return w, func(s *pgtest.Server) {
		away.Store(true)
		su := w.superuser(s)
		w.eventually("its connections are gone", func() bool {
			return get[int](w, su, "select count(pg_terminate_backend(pid)) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()") == 0
		})
	}
}
