package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Who logs in has what ALTER ROLE and ALTER DATABASE gave until then, though warm
// connections began before. The standby has it a moment later.
func TestNewSessionsBeginWithNewSettings(t *testing.T) {
	w := newWorld(t)
	su := w.superuser(pair.primary)
	defer w.exec(su, "alter role conduit reset all", "alter database conduit reset all")
	begin := func(p *Proxy) string { // as a client that comes, asks and goes
		t.Helper()
		c := w.connect(dsn(p))
		defer c.Close(t.Context())
		return get[string](w, c, "show work_mem")
	}
	for _, p := range []*Proxy{w.iad, w.dub} {
		for _, change := range []struct{ sql, want string }{
			{"alter role conduit set work_mem = '5MB'", "5MB"},
			{"begin; alter user conduit set work_mem = '6MB'; commit", "6MB"},
			{"begin; alter user conduit set work_mem = '9MB'; rollback", "6MB"},
			{"alter role conduit reset work_mem", "4MB"},
			{"alter database conduit set work_mem = '7MB'", "7MB"},
			{"alter database conduit reset all", "4MB"},
		} {
			c := w.connect(dsn(p))
			w.exec(c, "select 1", change.sql)
			c.Close(t.Context())
			if got := begin(p); got != change.want {
				t.Errorf("%s, %s: a new session has work_mem %s", p.cfg.Region, change.sql, got)
			}
			for _, other := range []*Proxy{w.iad, w.dub} {
				w.eventually(change.sql+" in each region", func() bool { return begin(other) == change.want })
			}
		}
	}
	// Past the proxies, as a function's.
	w.exec(su, "alter role conduit set work_mem = '8MB'")
	for _, p := range []*Proxy{w.iad, w.dub} {
		w.eventually("what nobody told is seen", func() bool { return begin(p) == "8MB" })
	}
}

// A session that logs in while its role's new setting is on its way to the standby
// has it there, too.
func TestASettingOnItsWayReachesWhoLogsIn(t *testing.T) {
	w := newWorld(t)
	su := w.superuser(pair.standby)
	w.exec(su, "select pg_wal_replay_pause()")
	resume := func() { w.exec(su, "select pg_wal_replay_resume()") }
	defer func() { resume() }()
	a := w.connect(dsn(w.dub))
	w.exec(a, "alter role conduit set work_mem = '5MB'")
	defer w.exec(a, "alter role conduit reset all")
	b := w.connect(dsn(w.dub))
	if got := get[string](w, b, "show work_mem"); got != "5MB" {
		t.Errorf("until it is there: work_mem is %s", got)
	}
	resume()
	resume = func() {}
	w.eventually("a read on the standby", func() bool { return get[bool](w, b, "select pg_is_in_recovery()") })
	if got := get[string](w, b, "show work_mem"); got != "5MB" {
		t.Errorf("on the standby work_mem is %s", got)
	}
}

// What PostgreSQL has to say at a login its client hears, warm connections or not.
func TestNoticesOfALoginAreHeard(t *testing.T) {
	w := newWorld(t)
	for _, p := range []*Proxy{w.iad, w.dub} {
		for range 2 {
			var heard []string
			cfg, err := pgx.ParseConfig(dsn(p) + "&application_name=" + strings.Repeat("x", 65))
			if err != nil {
				t.Fatal(err)
			}
			cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, n.Severity+n.Code) }
			c, err := pgx.ConnectConfig(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if len(heard) != 1 || heard[0] != "NOTICE42622" {
				t.Errorf("%s: heard %q", p.cfg.Region, heard)
			}
			c.Close(t.Context())
		}
	}
}
