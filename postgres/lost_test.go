package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

func TestReadsGoOnWhileThePrimaryIsLost(t *testing.T) {
	w, c := fixture(t, "lost")
	w.exec(c, "update lost set v = 0 where id = 1")
	w.caughtUp(c)
	e := w.attach(w.dub, "lost")
	end := w.dub.Begin(t.Context(), "lost", meridian.Token{}, meridian.Promise{})
	w.link.sever()
	w.eventually("the loss is noticed", func() bool { return w.dub.away() != "" })
	for range 3 {
		if _, err := c.Exec(t.Context(), "update lost set v = 1 where id = 1"); state(err) != "08001" {
			t.Errorf("a write that was not sent: %v", err)
		}
		if v := get[int](w, c, "select v from lost where id = 1"); v != 0 {
			t.Errorf("read %d", v)
		}
	}
	if _, err := e.Exec(t.Context(), "update lost set v = 1 where id = 1"); state(err) != "08001" {
		t.Errorf("a write that was not sent: %v", err)
	}
	if o := end(); o.PrimaryAway == "" {
		t.Errorf("the invocation does not know: %+v", o)
	}
	w.link.mend()
	w.eventually("the primary is back", func() bool { return w.dub.away() == "" })
	w.exec(c, "update lost set v = 2 where id = 1")
	if v := get[int](w, c, "select v from lost where id = 1"); v != 2 {
		t.Errorf("read %d", v)
	}
}

func TestUnansweredWriteIsInDoubt(t *testing.T) {
	w, c := fixture(t, "doubt")
	w.exec(c, "update doubt set v = 0")
	// The row is locked, so the write is sent and not answered.
	holder := w.connect(dsn(w.iad))
	w.exec(holder, "begin", "update doubt set v = 1 where id = 1")
	done := make(chan error, 1)
	go func() { _, err := c.Exec(context.Background(), "update doubt set v = 2 where id = 1"); done <- err }()
	w.eventually("the write waits", func() bool {
		return get[int](w, holder, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'") > 0
	})
	w.link.sever()
	if err := <-done; state(err) != "08007" {
		t.Errorf("got %v, want 08007", err)
	}
	if v := get[int](w, c, "select 1"); v != 1 {
		t.Error("the session did not live on")
	}
	w.exec(holder, "rollback")
}

// TestSilentLinkIsNoticed cuts the cable: nothing arrives, nothing ends.
func TestSilentLinkIsNoticed(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.PrimaryTimeout = 300 * time.Millisecond })
	c := w.connect(dsn(w.dub))
	w.exec(c, "drop table if exists silent", "create table silent (v int)")
	w.caughtUp(c)
	w.link.silence()
	if _, err := c.Exec(t.Context(), "insert into silent values (1)"); state(err) != "08007" {
		t.Errorf("a write into silence: %v", err)
	}
	if _, err := c.Exec(t.Context(), "insert into silent values (1)"); state(err) != "08001" {
		t.Errorf("the next: %v", err)
	}
	if _, err := c.Exec(t.Context(), "begin"); state(err) != "08001" || c.IsClosed() {
		t.Errorf("a block: %v", err)
	}
	if n := get[int](w, c, "select count(*) from silent"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestBlockEndsWithItsPrimary(t *testing.T) {
	w, c := fixture(t, "broken")
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "update broken set v = 1"); err != nil {
		t.Fatal(err)
	}
	w.link.sever()
	_, err = tx.Exec(t.Context(), "update broken set v = 2")
	if err == nil || !c.IsClosed() {
		t.Errorf("the session went on in a block that is lost: %v", err)
	}
}

// TestWhoIsNotPrimaryRefuses moves the primary on the map: the old one's proxy
// refuses by itself, and the session is told so before anything ran.
func TestWhoIsNotPrimaryRefuses(t *testing.T) {
	w := newWorld(t)
	w.point(dub)
	defer w.point(iad)
	if r := w.iad.refuse(hello(w.dub)); r == nil || !r.Away || r.Code != stateNotSent {
		t.Errorf("a region that is not primary answers %+v", r)
	}
}

// TestQueueHasADeadline takes all connections.
func TestQueueHasADeadline(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.MaxServer, c.QueueTimeout = 2, 50*time.Millisecond })
	a := w.connect(dsn(w.iad))
	w.connect(dsn(w.iad))
	_, err := pgx.Connect(t.Context(), dsn(w.iad))
	if state(err) != "53300" {
		t.Errorf("the third client: %v", err)
	}
	a.Close(t.Context())
	w.eventually("a place is free", func() bool {
		c, err := pgx.Connect(t.Context(), dsn(w.iad))
		if err == nil {
			c.Close(t.Context())
		}
		return err == nil
	})
}

// TestWritesCostOneRoundTrip counts the flights that wait for an answer.
func TestWritesCostOneRoundTrip(t *testing.T) {
	w, _ := fixture(t, "trips")
	c := w.connect(dsn(w.dub))
	w.exec(c, "set application_name = 'first'")
	for _, step := range []struct {
		what  string
		trips int
		do    func()
	}{
		{"a fresh client's first write, with its settings", 1, func() { w.exec(c, "update trips set v = 1 where id = 1") }},
		{"a write that is prepared first", 1, func() { get[int](w, c, "update trips set v = $1 where id = 1 returning v", 2) }},
		{"the same again", 1, func() { get[int](w, c, "update trips set v = $1 where id = 1 returning v", 3) }},
		{"a read of it", 0, func() { get[int](w, c, "select v from trips where id = 1") }},
		{"a block of one statement", 2, func() { w.exec(c, "begin", "update trips set v = 1 where id = 1", "commit") }},
		{"an empty block", 0, func() { w.exec(c, "begin", "rollback") }},
		{"a pipelined block", 1, func() {
			var b pgx.Batch
			b.Queue("begin")
			for i := range 20 {
				b.Queue(fmt.Sprintf("update trips set v = %d where id = 1", i))
			}
			b.Queue("commit")
			if err := c.SendBatch(t.Context(), &b).Close(); err != nil {
				t.Error(err)
			}
		}},
	} {
		if got := w.link.count(step.do); got != step.trips {
			t.Errorf("%s: %d round trips, want %d", step.what, got, step.trips)
		}
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{
		"postgres://conduit:wrong@%s/conduit?sslmode=disable", "postgres://nobody:secret@%s/conduit?sslmode=disable",
		"postgres://conduit.env:secret@%s/conduit?sslmode=disable",
	} {
		_, err := pgx.Connect(t.Context(), format(bad, w.dub))
		if state(err) != "28P01" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := pgx.Connect(t.Context(), format("postgres://conduit:secret@%s/other?sslmode=disable", w.dub)); state(err) != "3D000" {
		t.Errorf("another database: %v", err)
	}
	var e *pgconn.PgError
	url, detach, err := w.dub.Attach("gone")
	if err != nil {
		t.Fatal(err)
	}
	detach()
	if _, err := pgx.Connect(t.Context(), url); !errors.As(err, &e) || e.Code != "28P01" {
		t.Errorf("a detached environment: %v", err)
	}
}

// TestLostBackendsAreReplaced loses the backends of an idle session: on the
// standby the server process, on the primary the stream.
func TestLostBackendsAreReplaced(t *testing.T) {
	w, c := fixture(t, "replaced")
	w.exec(c, "set application_name = 'victim'", "update replaced set v = 5 where id = 1")
	if _, err := c.Prepare(t.Context(), "r", "select v from replaced where id = $1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		su := w.superuser(pair.standby)
		const victims = "from pg_stat_activity where application_name = 'victim'"
		w.exec(su, "select pg_terminate_backend(pid) "+victims)
		w.eventually("they are gone", func() bool { return get[int](w, su, "select count(*) "+victims) == 0 })
		w.iad.mu.Lock()
		for _, s := range w.iad.peers {
			s.conn.Close()
		}
		w.iad.mu.Unlock()
		w.eventually("the stream's end is seen", func() bool { return !w.dub.holdsMain() })
		if v := get[int](w, c, "r", 1); v != 5 {
			t.Errorf("read %d", v)
		}
		w.exec(c, "update replaced set v = 5 where id = 1")
		if s := simple(t, c, "show application_name"); s != "victim" {
			t.Errorf("the setting was lost: %q", s)
		}
	}
}

// holdsMain reports whether a session holds a backend on the primary that is
// not known to be lost.
func (p *Proxy) holdsMain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		c.mu.Lock()
		live := c.main != nil && !c.main.dead
		c.mu.Unlock()
		if live {
			return true
		}
	}
	return false
}

// TestSessionsLeaveNothingBehind opens and ends many, in all the ways.
func TestSessionsLeaveNothingBehind(t *testing.T) {
	w, c := fixture(t, "leaks")
	w.exec(c, "update leaks set v = 1")
	round := func() {
		for i := range 20 {
			s, err := pgx.Connect(t.Context(), dsn(w.dub))
			if err != nil {
				t.Fatal(err)
			}
			w.exec(s, "select 1", "update leaks set v = v where id = 1", "begin", "update leaks set v = 3 where id = 2")
			if i%2 == 0 {
				s.PgConn().Conn().Close() // without a word, in a block
			} else {
				s.Close(t.Context())
			}
		}
		w.eventually("all sessions are forgotten", func() bool {
			w.dub.mu.Lock()
			defer w.dub.mu.Unlock()
			w.iad.mu.Lock()
			defer w.iad.mu.Unlock()
			return len(w.dub.sessions) == 1 && len(w.iad.peers) == 1
		})
	}
	round()
	before := runtime.NumGoroutine()
	for range 5 {
		round()
	}
	w.eventually("the goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
	if open := w.iad.pool.Stats().Open; open > 20 {
		t.Errorf("%d connections to the primary stay", open)
	}
}
