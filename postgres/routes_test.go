package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

func promise(s string) meridian.Promise {
	c, err := meridian.ParseConsistency(s)
	if err != nil {
		panic(err)
	}
	return meridian.Promise{Consistency: &c}
}

// TestWhatARouteSaysOfItsReads stops replay after a write elsewhere, whose
// token each invocation brings. A route that says eventual reads the old value,
// which is also the control of those that do not; what the connection says goes
// before the route, and of several invocations at once all promises are kept.
func TestWhatARouteSaysOfItsReads(t *testing.T) {
	w, c := fixture(t, "routes")
	home := w.connect(dsn(w.iad))
	w.exec(home, "update routes set v = 1 where id = 1")
	w.caughtUp(c)
	w.eventually("a probe is replayed", func() bool { return w.dub.probe.staleness(w.dub.watch.known().served) >= 0 })
	thaw := w.freeze()
	defer thaw()
	w.exec(home, "update routes set v = 2 where id = 1")
	at, err := w.iad.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const read = "select v from routes where id = 1"
	for _, tt := range []struct {
		env   string
		reads []string // of the routes of the invocations in flight; "" says nothing
		set   string
		sql   string
		want  int
	}{
		{"database", []string{""}, "", read, 2},
		{"eventual", []string{"eventual"}, "", read, 1},
		{"bounded", []string{"bounded(1h)"}, "", read, 1},
		{"strong", []string{"strong"}, "", read, 2},
		{"global", []string{"global"}, "", read, 2},
		{"connection", []string{"eventual"}, "session", read, 2},
		{"weaker connection", []string{"global"}, "eventual", read, 1},
		{"statement", []string{"eventual"}, "eventual", "/* meridian: consistency=strong */ " + read, 2},
		{"two", []string{"eventual", "session"}, "", read, 2},
		{"two of the other order", []string{"session", "eventual"}, "", read, 2},
		{"two that say the same", []string{"eventual", "eventual"}, "", read, 1},
		{"bounded beside the default", []string{"bounded(1h)", ""}, "", read, 2},
	} {
		conn := w.attach(w.dub, tt.env)
		var ends []func() meridian.Observation
		for _, say := range tt.reads {
			p := meridian.Promise{}
			if say != "" {
				p = promise(say)
			}
			ends = append(ends, w.dub.Begin(t.Context(), tt.env, at, p))
		}
		if tt.set != "" {
			w.exec(conn, "set meridian.consistency = '"+tt.set+"'")
		}
		if got := get[int](w, conn, tt.sql); got != tt.want {
			t.Errorf("%s: read %d, want %d", tt.env, got, tt.want)
		}
		for _, end := range ends {
			end()
		}
	}
}

// TestStaleReadsAreServedWhereTheyAreLetBe cuts the primary off from a replica
// that is behind. The control is the route that does not let them be: 57P03.
func TestStaleReadsAreServedWhereTheyAreLetBe(t *testing.T) {
	w := newWorld(t)
	dsn1, detach, err := w.dub.Attach("stale")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(detach)
	cfg, err := pgx.ParseConfig(dsn1)
	if err != nil {
		t.Fatal(err)
	}
	warned := make(chan string, 10)
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { warned <- n.Code + " " + n.Message }
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	home := w.connect(dsn(w.iad))
	w.exec(home, "drop table if exists stale", "create table stale (v int)", "insert into stale values (1)")
	w.caughtUp(c)
	thaw := w.freeze()
	defer thaw()
	w.exec(home, "update stale set v = 2")
	at, err := w.iad.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lets := meridian.Promise{Unreachable: meridian.ServeStale}
	end := w.dub.Begin(t.Context(), "stale", at, lets)
	if got := get[int](w, c, "select v from stale"); got != 2 {
		t.Errorf("while the primary can be asked: %d", got)
	}
	if o := end(); o.Stale != "" {
		t.Errorf("an answer of the primary is called stale: %s", o.Stale)
	}
	w.link.sever()
	w.eventually("the loss is noticed", func() bool { return w.dub.away() != "" })
	end = w.dub.Begin(t.Context(), "stale", at, lets)
	if got := get[int](w, c, "select v from stale"); got != 1 {
		t.Errorf("read %d", got)
	}
	if o := end(); !strings.Contains(o.Stale, "asked for") || o.PrimaryAway != "" {
		t.Errorf("observed %+v", o)
	}
	select {
	case n := <-warned:
		if !strings.HasPrefix(n, "01000 meridian: the data may be stale: replayed") {
			t.Error(n)
		}
	case <-time.After(10 * time.Second):
		t.Error("the client was not warned")
	}
	if n := counter(w.dub.metrics.stale); n != 1 {
		t.Errorf("%v stale reads are counted", n)
	}
	for name, other := range map[string][]meridian.Promise{"by default": {{}}, "beside one that refuses": {lets, {}}} {
		var ends []func() meridian.Observation
		for _, p := range other {
			ends = append(ends, w.dub.Begin(t.Context(), "stale", at, p))
		}
		if _, err := c.Exec(t.Context(), "select v from stale"); state(err) != "57P03" {
			t.Errorf("%s: %v", name, err)
		}
		for _, end := range ends {
			end()
		}
	}
}
