package postgres

import (
	"fmt"
	"strings"
)

// What drivers send, in the order in which they send it: sequences of a seed from
// driverSeeds on have it in half of their units.
const driverSeeds = 100000

// What drivers run in blocks and pipelines.
var (
	seqDriven = []string{"select id, v from t order by id", "select v from t where id = $1", "select $1::int + 1", "insert into t values ($1::int, 2) returning id, v", "update t set v = v + 1 where id = 2 returning v",
		"delete from t where id = 3", "insert into t values (1, 1)", "select 1/0", "select nosuch", "select nextval('sq')", "set local work_mem = '6MB'", "set work_mem = '5MB'", "set application_name = 'x'",
		"show work_mem", "savepoint a", "rollback to a", "release a", "execute p1", "prepare p1 as select v from t where id = 2", "deallocate p1", "deallocate all", "create temp table tmp (a int)",
		"select * from t where id = 1", "table tmp", "create table u (a int)", "notify ch", "insert into d values (1)", "select id from t where id < 3 order by id for update", "declare c cursor for select id from t order by id",
		"fetch 2 from c", "select current_setting('work_mem')", "lock table t"}
	seqResets = []string{"discard all", "reset all; deallocate all", "close all; unlisten *; reset all", "select pg_advisory_unlock_all()", "rollback", "set session authorization default", "discard temp; discard plans"}
	seqBegins = []string{"begin", "begin", "begin read only", "begin isolation level repeatable read", "start transaction isolation level repeatable read read only", "begin isolation level serializable"}
)

// driver adds what one driver sends for a statement, or a few.
func (g *generator) driver() {
	sql := g.one(seqDriven...)
	switch g.r.IntN(9) {
	case 0:
		g.asyncpg(sql)
	case 1:
		g.pgjdbc(sql)
	case 2:
		g.fetches()
	case 3:
		g.npgsql()
	case 4:
		g.node(sql)
	case 5, 6:
		g.pipeline()
	case 7:
		g.tokio(sql)
	case 8:
		g.query(g.one(seqBegins...))
	}
}

func (g *generator) parse(stmt, sql string) {
	g.message(fmt.Sprintf("parse %q %s", stmt, sql), 'P', []byte(stmt+"\x00"+sql+"\x00\x00\x00"))
}

func (g *generator) target(kind byte, what, name string) {
	g.message(fmt.Sprintf("%c %s %q", kind, what, name), kind, []byte(what+name+"\x00"))
}

// asyncpg and psycopg's C code ask for the columns first, behind a Flush.
func (g *generator) asyncpg(sql string) {
	name := g.one("as1", "as2", "")
	if g.chance(70) {
		g.parse(name, sql)
	}
	g.target('D', "S", name)
	g.end("H")
	g.bind("", name, strings.Count(sql, "$1"))
	g.execute("")
	g.end("S")
}

// pgjdbc sends BEGIN with the block's first statement, COMMIT by itself, and closes
// what it forgets with the next group.
func (g *generator) pgjdbc(sql string) {
	if g.chance(50) {
		g.parse("", g.one(seqBegins...))
		g.bind("", "", 0)
		g.execute("")
	}
	name := g.one("", "S_1", "S_2")
	if name != "" && g.chance(40) {
		g.target('C', "S", name)
	}
	g.parse(name, sql)
	g.bind("", name, strings.Count(sql, "$1"))
	g.target('D', "P", "")
	g.execute("")
	g.end("S")
	if g.chance(50) {
		g.parse("", g.one("commit", "commit", "rollback"))
		g.bind("", "", 0)
		g.execute("")
		g.end("S")
	}
}

// fetches reads from a portal in parts, with a Sync or a Flush between them.
func (g *generator) fetches() {
	portal := g.portal()
	begin := g.one(seqBegins...)
	if g.chance(70) {
		g.parse("", begin)
		g.bind("", "", 0)
		g.execute("")
		g.end(g.one("S", ""))
	}
	g.parse("", g.one("select id, v from t order by id", "select generate_series(1, 5)", "select 10 / (3 - g) from generate_series(1, 5) g"))
	g.bind(portal, "", 0)
	g.target('D', "P", portal)
	for range 1 + g.r.IntN(4) {
		g.message(fmt.Sprintf("execute %q 2", portal), 'E', []byte(portal+"\x00\x00\x00\x00\x02"))
		g.end(g.one("S", "H"))
	}
	g.target('C', "P", portal)
	g.end("S")
}

// npgsql puts a reset before what comes next, and prepares several statements at once.
func (g *generator) npgsql() {
	if g.chance(60) {
		g.query(g.one(seqResets...))
	}
	n := 1 + g.r.IntN(3)
	if g.chance(30) {
		for i := range n {
			name := fmt.Sprint("_p", i+1)
			g.parse(name, strings.ReplaceAll(g.one(seqDriven...), "$1", "4"))
			g.target('D', "S", name)
		}
		g.end("S")
	}
	for i := range n {
		name := g.one("", fmt.Sprint("_p", i+1))
		if name == "" {
			g.parse("", strings.ReplaceAll(g.one(seqDriven...), "$1", "4"))
		}
		g.bind("", name, 0)
		g.target('D', "P", "")
		g.execute("")
	}
	g.end("S")
	if g.chance(20) {
		g.target('C', "S", "_p1")
		g.end("S")
	}
}

// node waits for the result before it sends its Sync.
func (g *generator) node(sql string) {
	g.parse("", sql)
	g.bind("", "", strings.Count(sql, "$1"))
	g.target('D', "P", "")
	g.execute("")
	g.end("H")
	if g.chance(20) {
		g.execute("")
		g.end("H")
	}
	g.end("S")
}

// pipeline is libpq's, with Flush requests, blocks and savepoints amid.
func (g *generator) pipeline() {
	for range 2 + g.r.IntN(6) {
		sql := g.one(seqDriven...)
		if g.chance(25) {
			sql = g.one("begin", "commit", "rollback", "begin read only", "savepoint a", "rollback to a")
		}
		g.parse("", sql)
		g.bind("", "", strings.Count(sql, "$1"))
		if g.chance(70) {
			g.target('D', "P", "")
		}
		g.execute("")
		switch {
		case g.chance(15):
			g.end("H")
		case g.chance(15):
			g.end("S")
		}
	}
	g.end("S")
}

// tokio prepares, runs, and closes, each with a Sync of its own, without waiting.
func (g *generator) tokio(sql string) {
	name := g.one("s0", "s1")
	g.parse(name, sql)
	g.target('D', "S", name)
	g.end("S")
	for range 1 + g.r.IntN(2) {
		g.bind("", name, strings.Count(sql, "$1"))
		g.execute("")
		g.end("S")
	}
	g.target('C', "S", name)
	g.end("S")
}
