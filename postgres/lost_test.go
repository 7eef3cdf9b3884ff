package postgres

import (
	"context"
	"errors"
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
	end := w.dub.Begin(t.Context(), "lost", meridian.Token{})
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

// TestNewPrimaryIsFollowed makes a region that is not primary refuse, and the
// session go where the map points.
func TestWhoIsNotPrimaryRefuses(t *testing.T) {
	w, c := fixture(t, "moved")
	_ = c
	// Only the peer's view of the map changes: it must refuse by itself.
	conn, err := w.link.dial(t.Context(), iad)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w.point(dub)
	defer w.point(iad)
	if r := w.iad.refuse(hello(w.dub)); r == nil || !r.Away || r.Code != "08001" {
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

// TestWritesCostOneRoundTrip measures over a link with a delay.
func TestWritesCostOneRoundTrip(t *testing.T) {
	w, _ := fixture(t, "trips")
	const rtt = 80 * time.Millisecond
	w.link.slow(rtt / 2)
	measure := func(what string, most float64, f func()) {
		t.Helper()
		began := time.Now()
		f()
		if trips := float64(time.Since(began)) / float64(rtt); trips > most {
			t.Errorf("%s: %.2f round trips, want at most %.2f", what, trips, most)
		}
	}
	c := w.connect(dsn(w.dub))
	w.exec(c, "set application_name = 'first'")
	measure("a fresh client's first write", 1.3, func() { w.exec(c, "update trips set v = 1 where id = 1") })
	measure("a write with a statement that is new", 1.3, func() {
		if _, err := c.Exec(t.Context(), "update trips set v = $1 where id = 1", 2); err != nil {
			t.Error(err)
		}
	})
	measure("a read", 0.3, func() { get[int](w, c, "select v from trips where id = 1") })
	measure("a block of one statement", 2.4, func() { w.exec(c, "begin", "update trips set v = 1 where id = 1", "commit") })
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
