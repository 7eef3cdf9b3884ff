package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
)

// TestWhoCannotMoveIsToldAndCounted pauses a primary on which sessions stand
// that another primary could not serve.
func TestWhoCannotMoveIsToldAndCounted(t *testing.T) {
	for name, at := range map[string]func(*world) *Proxy{"here": func(w *world) *Proxy { return w.iad }, "from a secondary": func(w *world) *Proxy { return w.dub }} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			free := w.connect(dsn(at(w)))
			w.exec(free, "drop table if exists paused", "create table paused (v int)")
			var bound []*pgx.Conn
			for _, sql := range []string{
				"create temp table mine (v int)", "select pg_advisory_lock(7)", "listen news",
				"declare held cursor with hold for select 1", "begin; insert into paused values (1)",
			} {
				c := w.connect(dsn(at(w)))
				w.exec(c, sql)
				bound = append(bound, c)
			}
			w.exec(free, "set application_name = 'free'")
			if _, err := free.Prepare(t.Context(), "p", "insert into paused values ($1)"); err != nil {
				t.Fatal(err)
			}
			w.exec(free, "insert into paused values (0)")
			w.eventually("the primary knows who is bound", func() bool { return at(w) == w.iad || w.iad.boundPeers() == 4 })
			p, err := w.iad.Pause(t.Context(), 50*time.Millisecond)
			if err != nil || p.Killed != len(bound) || p.Held != 1 {
				t.Errorf("%+v, %v; want %d killed, 1 held", p, err, len(bound))
			}
			if n := get[int](w, w.superuser(pair.primary), "select count(*) from pg_stat_activity where backend_type = 'client backend' and usename = 'conduit' and application_name <> '' "); n != 0 {
				t.Errorf("%d connections to PostgreSQL stay", n)
			}
			for i, c := range bound {
				if _, err := c.Exec(t.Context(), "select 1"); state(err) != "57P01" && !c.IsClosed() {
					t.Errorf("bound %d: %v, want 57P01", i, err)
				}
			}
			done := make(chan error, 1)
			go func() { _, err := free.Exec(context.Background(), "p", 5); done <- err }()
			w.eventually("it is held", func() bool { return at(w).gate.held.Load() > 0 })
			w.iad.Resume()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if s := get[string](w, free, "select current_setting('application_name') from paused limit 1"); s != "free" {
				t.Errorf("the setting was lost: %q", s)
			}
			if n := get[int](w, free, "select count(*) from paused where v = 5"); n != 1 {
				t.Errorf("the held write was run %d times", n)
			}
		})
	}
}

// TestASparingPauseEndsNobody meets a session that cannot move: it gives up,
// says so, and the session goes on; when that is gone, it succeeds. Control: a
// pause that does not spare ends it (above).
func TestASparingPauseEndsNobody(t *testing.T) {
	for name, at := range map[string]func(*world) *Proxy{"here": func(w *world) *Proxy { return w.iad }, "from a secondary": func(w *world) *Proxy { return w.dub }} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c, block := w.connect(dsn(at(w))), w.connect(dsn(at(w)))
			w.exec(c, "drop table if exists spared", "create table spared (v int)", "create temp table mine (v int)", "insert into mine values (1)")
			w.exec(block, "begin; insert into spared values (1)")
			w.eventually("the primary knows who is bound", func() bool { return at(w) == w.iad || w.iad.boundPeers() == 1 })
			p, err := w.iad.PauseSparing(t.Context(), 50*time.Millisecond)
			w.iad.Resume()
			if meridian.KindOf(err) != meridian.Unavailable || p.Killed != 0 || !strings.Contains(err.Error(), "2 sessions cannot move: 1 for ") {
				t.Errorf("%+v, %v", p, err)
			}
			if n := get[int](w, c, "select v from mine"); n != 1 {
				t.Errorf("the temporary table shows %d", n)
			}
			w.exec(block, "rollback")
			c.Close(t.Context())
			w.eventually("nobody is bound", func() bool { return w.iad.Bound(true) == "" })
			if p, err = w.iad.PauseSparing(t.Context(), 2*time.Second); err != nil || p.Killed != 0 {
				t.Errorf("%+v, %v", p, err)
			}
			w.iad.Resume()
			w.exec(block, "select 1")
		})
	}
}

// TestWhoIsBoundIsToldSoInEachRegion pauses a primary that has not heard yet
// that another region's session cannot move, and gives it back: its client is
// told what the primary's own are told.
func TestWhoIsBoundIsToldSoInEachRegion(t *testing.T) {
	for sql, begins := range map[string]string{"create temp table mine (v int)": "", "select pg_advisory_lock(8)": "begin; select pg_advisory_xact_lock(9)"} {
		w := newWorld(t)
		c := w.connect(dsn(w.dub))
		w.exec(c, sql)
		w.eventually("the primary knows who is bound", func() bool { return w.iad.boundPeers() == 1 })
		w.iad.mu.Lock()
		for _, s := range w.iad.peers {
			s.mu.Lock()
			s.pinned = ""
			s.mu.Unlock()
		}
		w.iad.mu.Unlock()
		w.iad.gate.paused.Store(true)
		if begins == "" { // at rest
			if p, err := w.iad.Pause(t.Context(), 50*time.Millisecond); err != nil || p.Held != 1 {
				t.Errorf("%+v, %v", p, err)
			}
			begins = "select v from mine"
		}
		if _, err := c.Exec(t.Context(), begins); state(err) != "57P01" {
			t.Errorf("%s: %v, want 57P01", sql, err)
		}
		w.iad.Resume()
	}
}

// boundPeers counts the peers' sessions that cannot move.
func (p *Proxy) boundPeers() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.peers {
		s.mu.Lock()
		if s.pinned != "" {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

func TestAPauseWaitsForTransactionsAndCancelsStatements(t *testing.T) {
	w := newWorld(t)
	c, slow, far := w.connect(dsn(w.iad)), w.connect(dsn(w.iad)), w.connect(dsn(w.dub))
	w.exec(c, "drop table if exists patient", "create table patient (v int)", "begin", "insert into patient values (1)")
	w.exec(far, "insert into patient values (0)")
	sleeps := []<-chan error{background(slow, "select pg_sleep(60), count(*) from patient"), background(far, "select pg_sleep(60) from patient for update")}
	w.eventually("the statements run", func() bool {
		return get[int](w, w.superuser(pair.primary), "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 2
	})
	paused := make(chan Paused, 1)
	go func() {
		p, err := w.iad.Pause(context.Background(), 300*time.Millisecond)
		if err != nil {
			t.Error(err)
		}
		paused <- p
	}()
	w.eventually("it is paused", w.iad.gate.paused.Load)
	w.exec(c, "insert into patient values (2)", "commit")
	if p := <-paused; p.Killed != 2 || p.Held < 1 {
		t.Errorf("%+v", p)
	}
	for i, done := range sleeps {
		if err := <-done; state(err) != "57P01" {
			t.Errorf("a statement over the budget, %d: %v", i, err)
		}
	}
	w.iad.Resume()
	for _, c := range []*pgx.Conn{c, slow, far} {
		if n := get[int](w, c, "select count(*) from patient"); n != 3 {
			t.Errorf("%d rows", n)
		}
	}
}

// TestAPauseThatIsGivenUpLeavesNoMark gives a pause up that has canceled a
// statement: what a client cancels later is told as PostgreSQL does.
func TestAPauseThatIsGivenUpLeavesNoMark(t *testing.T) {
	w := newWorld(t)
	for _, at := range []*Proxy{w.iad, w.dub} {
		c := w.connect(dsn(at))
		w.exec(c, "drop table if exists unmarked", "create table unmarked (v int)", "insert into unmarked values (0)")
		sleeps := func() <-chan error {
			done := background(c, "select pg_sleep(60) from unmarked for update")
			w.eventually("the statement runs", func() bool {
				return get[int](w, w.superuser(pair.primary), "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 1
			})
			return done
		}
		first, rounds := sleeps(), 0
		_, err := w.iad.pause(t.Context(), func(time.Duration) (stage, bool) { rounds++; return canceling, rounds < 2 })
		if meridian.KindOf(err) != meridian.Unavailable {
			t.Errorf("the pause: %v", err)
		}
		if err := <-first; state(err) != "57P01" {
			t.Errorf("canceled by the pause: %v", err)
		}
		w.iad.Resume()
		second := sleeps()
		if err := c.PgConn().CancelRequest(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-second; state(err) != "57014" {
			t.Errorf("canceled by its client: %v", err)
		}
	}
}

// TestARestartInPlaceIsWaitedOut crashes the primary's PostgreSQL.
func TestARestartInPlaceIsWaitedOut(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	here, there := w.connect(dsn(w.proxies[iad])), w.connect(dsn(w.proxies[sin]))
	w.exec(here, "create table crash (v int)", "insert into crash values (0)")
	w.exec(there, "insert into crash values (1)")
	// A region whose standby is behind asks the primary for the catalogues.
	w.standbys("the table is there", "select to_regclass('crash') is not null")
	w.standbys("all is replayed", "select count(*) = 2 from crash")
	w.check(w.servers[iad].Crash())
	a, b := background(here, "insert into crash values (2)"), background(there, "insert into crash values (3)")
	w.eventually("both wait", func() bool { return w.proxies[iad].gate.held.Load() > 0 && w.proxies[sin].gate.held.Load() > 0 })
	if n := get[int](w.world, w.connect(dsn(w.proxies[dub])), "select count(*) from pg_class where relname = 'pg_class'"); n != 1 {
		t.Error("no reads meanwhile")
	}
	w.check(w.servers[iad].Again(nil))
	for i, done := range []<-chan error{a, b} {
		if err := <-done; err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if n := get[int](w.world, here, "select count(*) from crash"); n != 4 {
		t.Errorf("%d rows", n)
	}
}

// TestAnotherRegionTakesOver kills the primary's region: what was not sent
// waits for the next primary, and reads go on.
func TestAnotherRegionTakesOver(t *testing.T) {
	t.Parallel()
	w := newTrio(t, func(c *Config, _ *Deps) { c.PrimaryTimeout = 300 * time.Millisecond })
	c, d := w.connect(dsn(w.proxies[sin])), w.connect(dsn(w.proxies[dub]))
	w.exec(c, "create table successor (v int)", "insert into successor values (0)")
	w.exec(d, "insert into successor values (1)")
	for _, r := range []meridian.Region{dub, sin} {
		root := w.superuser(w.servers[r])
		w.eventually("all is replayed in "+string(r), func() bool {
			var n int
			return root.QueryRow(t.Context(), "select count(*) from successor").Scan(&n) == nil && n == 2
		})
	}
	if err := w.servers[iad].Crash(); err != nil {
		t.Fatal(err)
	}
	w.links[iad].sever()
	w.eventually("the loss is noticed", func() bool { return w.proxies[sin].away() != "" && w.proxies[dub].away() != "" })
	a, b := background(c, "insert into successor values (2)"), background(d, "begin; insert into successor values (3); commit")
	w.eventually("both wait", func() bool { return w.proxies[sin].gate.held.Load() > 0 && w.proxies[dub].gate.held.Load() > 0 })
	if n := get[int](w.world, w.connect(dsn(w.proxies[sin])), "select count(*) from successor"); n < 1 {
		t.Error("no reads meanwhile")
	}
	if err := w.servers[dub].Promote(); err != nil {
		t.Fatal(err)
	}
	w.point(dub)
	if err := w.servers[sin].Follow(w.servers[dub]); err != nil {
		t.Fatal(err)
	}
	for i, done := range []<-chan error{a, b} {
		if err := <-done; err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, x := range []*pgx.Conn{c, d} {
		if n := get[int](w.world, x, "select count(*) from successor"); n != 4 {
			t.Errorf("%d rows", n)
		}
	}
	position, err := w.proxies[dub].Position(t.Context())
	if err != nil || position.Timeline != 2 {
		t.Errorf("the new primary's token: %v, %v", position, err)
	}
	w.eventually("the secondary reads on the new timeline", func() bool {
		position, err := w.proxies[sin].Position(t.Context())
		return err == nil && position.Timeline == 2
	})
	// One that finds the replica behind moves on, which a busy machine may bring about.
	w.eventually("reads of the secondary run there", func() bool { return get[bool](w.world, c, "select pg_is_in_recovery()") })
	var old meridian.Token
	old, old.Timeline, old.LSN = position, 1, 1
	if got := w.proxies[sin].history(old); got != old {
		t.Errorf("a token from before the fork became %v", got)
	}
}
