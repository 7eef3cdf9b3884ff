package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
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
