package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/postgres/pgtest"
)

// TestASessionOfTheStandbyIsSignaledFromABlock signals sessions that have no
// process on the primary by a statement that runs there. Control: without
// stand-ins PostgreSQL finds no process.
func TestASessionOfTheStandbyIsSignaledFromABlock(t *testing.T) {
	for name, none := range map[string]bool{"": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.dub.noStandIns = none
			c, spared := w.connect(dsn(w.dub)), w.connect(dsn(w.dub))
			signal := func(sql string, victim *pgx.Conn) {
				t.Helper()
				w.exec(c, "begin")
				defer w.exec(c, "commit")
				if get[bool](w, c, sql, victim.PgConn().PID()) == none {
					t.Errorf("%s: %t", sql, !none)
				}
			}
			here, there := w.superuser(pair.standby), w.superuser(pair.primary)
			sleeps := func() bool {
				return get[int](w, here, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 1
			}
			rest, busy := w.connect(dsn(w.dub)), w.connect(dsn(w.dub))
			signal("select pg_terminate_backend($1)", rest)
			if _, err := rest.Exec(t.Context(), "select 1"); (state(err) == "57P01") == none {
				t.Errorf("at rest: %v", err)
			}
			done := background(busy, "select pg_sleep(3)")
			w.eventually("it sleeps", sleeps)
			signal("select pg_cancel_backend($1)", busy)
			if err := <-done; (state(err) == "57014") == none {
				t.Errorf("canceled: %v", err)
			}
			done = background(busy, "select pg_sleep(3)")
			w.eventually("it sleeps again", sleeps)
			signal("select pg_terminate_backend($1)", busy)
			if err := <-done; (state(err) == "57P01") == none {
				t.Errorf("at work: %v", err)
			}
			self := w.connect(dsn(w.dub))
			w.exec(self, "begin")
			if _, err := self.Exec(t.Context(), "select pg_terminate_backend($1)", self.PgConn().PID()); state(err) != "57P01" {
				t.Errorf("itself: %v", err)
			}
			if get[int](w, spared, "select 1") != 1 {
				t.Error("the wrong session was ended")
			}
			if none {
				return
			}
			w.eventually("nobody stands in any more", func() bool {
				return get[int](w, there, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 0
			})
		})
	}
}

// TestWhoMayNotSignalIsRefusedInPostgreSQLsWords has a role signal sessions of
// another that it is no member of, and of a superuser: it is told what PostgreSQL
// itself says, wherever the statement runs, and the sessions go on.
func TestWhoMayNotSignalIsRefusedInPostgreSQLsWords(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) {
		c.Users = map[string]string{"conduit": "secret", "signal_stranger": "secret", "signal_root": "secret"}
	})
	root := w.superuser(pair.primary)
	w.exec(root, "drop role if exists signal_stranger", "drop role if exists signal_root", "create role signal_stranger login", "create role signal_root login superuser")
	t.Cleanup(func() { root.Exec(context.Background(), "drop role signal_stranger; drop role signal_root") })
	as := func(role string) *pgx.Conn {
		return w.connect(strings.Replace(dsn(w.dub), "//conduit:", "//"+role+":", 1))
	}
	stranger := as("signal_stranger")
	said := func(c *pgx.Conn, sql string, args ...any) string {
		_, err := c.Exec(t.Context(), sql, args...)
		var e *pgconn.PgError
		if !errors.As(err, &e) {
			return fmt.Sprint(err)
		}
		return fmt.Sprint(e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.Routine)
	}
	w.caughtUp(stranger)
	for _, role := range []string{"conduit", "signal_root"} {
		there := w.superuser(pair.primary)
		w.exec(there, "set session authorization "+role) // whose process is judged by its login's role
		here, writer := as(role), as(role)
		w.exec(writer, "begin", "select pg_advisory_xact_lock(1)", "rollback") // it has a process on the primary
		for _, f := range []string{"pg_terminate_backend", "pg_cancel_backend"} {
			w.exec(root, "set session authorization signal_stranger")
			victim := there
			if role == "conduit" { // a process of that login
				victim = w.loggedIn(pair.primary)
			}
			want := said(root, "select "+f+"($1::int)", victim.PgConn().PID())
			w.exec(root, "reset session authorization")
			if !strings.Contains(want, "42501") {
				t.Fatalf("directly: %s", want)
			}
			for name, target := range map[string]*pgx.Conn{"on the standby": here, "on the primary": writer} {
				number := target.PgConn().PID()
				texts := []string{fmt.Sprintf("select %s(%d)", f, number), fmt.Sprintf("select count(*) from generate_series(1, 1) g where %s(%d)", f, number)}
				for _, sql := range texts {
					if got := said(stranger, sql); got != want {
						t.Errorf("%s, %s: %s, want %s", sql, name, got, want)
					}
				}
				if got := said(stranger, "select "+f+"($1::int)", number); got != want {
					t.Errorf("%s by parameter, %s: %s, want %s", f, name, got, want)
				}
				w.exec(stranger, "begin")
				if got := said(stranger, texts[0]); got != want {
					t.Errorf("%s in a block, %s: %s, want %s", f, name, got, want)
				}
				w.exec(stranger, "rollback")
				began := time.Now()
				if get[int](w, target, "select 1") != 1 {
					t.Errorf("%s, %s: the session does not go on", f, name)
				}
				if d := time.Since(began); d > ending/2 {
					t.Errorf("%s, %s: its next statement took %s", f, name, d)
				}
			}
		}
	}
	w.eventually("nobody stands in any more", func() bool {
		return get[int](w, root, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 0
	})
}

// loggedIn connects to a server past the proxies as the proxies do for clients.
func (w *world) loggedIn(s *pgtest.Server) *pgx.Conn {
	w.t.Helper()
	cfg, err := pgx.ParseConfig("user=conduit database=conduit sslmode=disable host=127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }
	c, err := pgx.ConnectConfig(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}
