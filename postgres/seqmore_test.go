package postgres

import (
	"fmt"
	"net"
	"strings"
	"time"

	"meridian/postgres/wire"
)

// Statement caches, pipelines, cancel requests, COPY that fails and portals that are
// described: sequences of a seed from moreSeeds on have them in half of their units.
const moreSeeds = 400000

// What runs until it is canceled, on a standby, on either and on the primary.
var seqSlow = []string{"select pg_sleep(20)", "select count(*) from t, pg_sleep(20)", "insert into t select 60, 1 from pg_sleep(20)", "update t set v = v + 1 where id = 2 and pg_sleep(20) is not null returning v",
	"select nextval('sq'), pg_sleep(20)", "copy (select pg_sleep(20)) to stdout", "select 10 / (3 - g), pg_sleep(20) from generate_series(1, 2) g"}

// more adds what one driver does, or a cancel request.
func (g *generator) more() {
	sql := g.one(seqDriven...)
	switch g.r.IntN(8) {
	case 0, 1:
		g.pgx(sql)
	case 2, 3:
		g.psycopg()
	case 4:
		g.cancel()
	case 5:
		g.copyFails()
	case 6:
		g.describes()
	case 7:
		g.query(g.one("begin", "begin read only", "begin isolation level repeatable read read only", "commit", "rollback", "rollback"))
	}
}

// pgx prepares what it runs, waits, and keeps it under a name; a batch runs several up to
// one Sync.
func (g *generator) pgx(sql string) {
	name := g.one("stmtcache_1", "stmtcache_2", "stmtcache_3")
	if g.chance(50) {
		g.parse(name, sql)
		g.target('D', "S", name)
		g.end("S")
		g.q.steps[len(g.q.steps)-1].pause = g.chance(70)
	}
	n := 1
	if g.chance(40) {
		n += g.r.IntN(4)
	}
	for range n {
		if n > 1 {
			name = g.one("stmtcache_1", "stmtcache_2", "stmtcache_3")
		}
		g.bind("", name, strings.Count(sql, "$1"))
		g.target('D', "P", "")
		g.execute("")
	}
	g.end("S")
	switch {
	case g.chance(15):
		g.target('C', "S", name)
		g.end("S")
	case g.chance(10):
		g.query("deallocate " + name)
	}
}

// psycopg pipelines with a Flush behind each statement, begins a block by itself, and
// prepares what it has run a few times.
func (g *generator) psycopg() {
	if g.chance(60) {
		g.parse("", g.one("BEGIN", "BEGIN", "BEGIN READ ONLY"))
		g.bind("", "", 0)
		g.target('D', "P", "")
		g.execute("")
	}
	for range 1 + g.r.IntN(4) {
		sql, name := g.one(seqDriven...), g.one("", "", "_pg3_0", "_pg3_1")
		if name == "" || g.chance(40) {
			g.parse(name, sql)
		}
		g.bind("", name, strings.Count(sql, "$1"))
		g.target('D', "P", "")
		g.execute("")
		if g.chance(50) {
			g.end("H")
		}
		if g.chance(15) {
			g.end("S")
		}
	}
	if g.chance(60) {
		g.parse("", g.one("COMMIT", "ROLLBACK"))
		g.bind("", "", 0)
		g.execute("")
	}
	g.end("S")
}

// cancel runs something and cancels it, or cancels nothing.
func (g *generator) cancel() {
	sql, runs := g.one(seqSlow...), true
	if n := len(g.q.steps); n > 0 {
		g.q.steps[n-1].pause = true
	}
	switch g.r.IntN(5) {
	case 0:
		runs = false
	case 1, 2:
		g.query(sql)
	default:
		if g.chance(30) {
			g.parse("", g.one(seqDriven...))
			g.bind("", "", 1)
			g.execute("")
		}
		g.parse("", sql)
		g.bind("", "", 0)
		g.target('D', "P", "")
		g.execute("")
		g.end(g.one("S", "S", "H"))
	}
	g.add("cancel", nil)
	last := &g.q.steps[len(g.q.steps)-1]
	last.cancel, last.awaits, last.pause = true, runs, true
}

// copyFails adds COPY FROM STDIN amid a group, and mostly CopyFail.
func (g *generator) copyFails() {
	if g.chance(50) {
		g.parse("", g.one(seqDriven...))
		g.bind("", "", 1)
		g.execute("")
	}
	stmt := g.one("", "cp")
	g.parse(stmt, g.one(seqCopies...))
	g.bind("", stmt, 0)
	if g.chance(50) {
		g.target('D', "P", "")
	}
	g.execute("")
	switch {
	case g.chance(30):
		g.end("S")
	case g.chance(40):
		g.end("H")
	}
	for range g.r.IntN(3) {
		g.data()
	}
	if g.chance(70) {
		g.message("copy fail", 'f', wire.String("no more"))
	} else {
		g.message("copy done", 'c')
	}
	if g.chance(40) {
		g.parse("", g.one(seqDriven...))
		g.bind("", "", 1)
		g.execute("")
	}
	g.end("S")
	if g.chance(30) {
		g.bind("", stmt, 0)
		g.end("S")
	}
}

// describes asks what portals return, at each stage of theirs, those of DECLARE too.
func (g *generator) describes() {
	if g.chance(70) {
		g.query(g.one(seqBegins...))
	}
	portal := g.portal()
	switch {
	case g.chance(30):
		portal = "c"
		g.query("declare c cursor for select id, v from t order by id")
	default:
		g.parse("", g.one("select id, v from t order by id", "select v from t where id = $1", "insert into t values ($1::int, 2) returning id, v", "show work_mem", "copy t to stdout"))
		if g.chance(30) {
			g.target('D', "S", "")
		}
		g.bind(portal, "", g.r.IntN(2))
	}
	for range 1 + g.r.IntN(4) {
		switch g.r.IntN(6) {
		case 0, 1:
			g.target('D', "P", portal)
		case 2, 3:
			g.message(fmt.Sprintf("execute %q 1", portal), 'E', []byte(portal+"\x00\x00\x00\x00\x01"))
		case 4:
			g.target('C', "P", portal)
		case 5:
			g.target('D', "P", g.one("nosuch", "", "c"))
		}
		g.end(g.one("S", "H", "", ""))
	}
	g.end("S")
}

// cancels sends a cancel request, once a server sleeps in what it cancels, or that was
// answered. That it is active, with that text, is not enough: so it is as it parses, and
// between that and the next message PostgreSQL drops a cancel request.
func (s *seqStage) cancels(c *listener, how path, awaits bool) {
	s.t.Helper()
	const runs = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query like '%pg_sleep(20)%'"
	for began, n := time.Now(), c.ends; awaits && time.Since(began) < 5*time.Second && c.ends == n && !c.closed; c.drain() {
		if get[int](s.w, s.su, runs)+get[int](s.w, s.there, runs) > 0 {
			break
		}
	}
	conn, err := pair.primary.Dial(s.t.Context())
	if p := s.proxy(how); p != nil {
		conn, err = net.Dial("tcp", p.Addr().String())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.Write(wire.Builder(nil).CancelRequest(c.key))
	conn.Read(make([]byte, 1)) // closed once it is done
}
