package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"meridian/postgres/wire"
)

// COPY within scripts, savepoints and settings of lazy blocks, function calls in blocks,
// two-phase commit, long rows and parameters, portals that outlive their Sync, Flush and
// Close in odd places, notices: sequences of a seed from wideSeeds on have them in half
// of their units.
const wideSeeds = 700000

var (
	seqCopyScripts = []string{"select 1; copy t from stdin; select 2", "copy t from stdin; copy t from stdin", "begin; copy t from stdin; commit", "begin; copy t from stdin", "copy t from stdin; select 1/0",
		"copy t to stdout; insert into t values (70, 1)", "insert into t values (71, 1); copy t from stdin; rollback", "copy nosuch from stdin; select 1", "copy t to stdout; copy t from stdin", "rollback; copy t from stdin",
		"copy (select id from t order by id) to stdout; select 2", "select 1; copy t (id) from stdin with (format csv); commit; select 2"}
	seqInLazy = []string{"savepoint a", "savepoint b", "rollback to a", "rollback to b", "release a", "release b", "select count(*) from t", "select v from t where id = 2", "select 1/0", "select nosuch",
		"set local work_mem = '6MB'", "show work_mem", "set local meridian.consistency = 'eventual'", "insert into t values (72, 1)", "update t set v = v + 1 where id = 2", "set work_mem = '5MB'", "reset work_mem",
		"set local search_path = 'pg_catalog'", "select current_setting('search_path')", "set transaction read only", "set transaction isolation level repeatable read", "set constraints all immediate", "insert into d values (1)",
		"select current_setting('transaction_read_only')", "set local transaction_read_only = on", "execute p1", "prepare p1 as select v from t where id = 2", "deallocate p1", "select name from pg_prepared_statements order by name"}
	seqTwoPhase = []string{"prepare transaction 'x'", "commit prepared 'x'", "rollback prepared 'x'", "select gid from pg_prepared_xacts", "begin", "insert into t values (73, 1)", "begin read only", "commit", "rollback", "select 1/0",
		"update t set v = v + 1 where id = 2", "savepoint a", "declare h cursor with hold for select id from t order by id", "set work_mem = '5MB'", "show work_mem", "prepare transaction 'x'; select 1", "begin; insert into t values (74, 1); prepare transaction 'x'"}
	seqLong = []string{"select repeat('x', 70000)", "select g, repeat('y', 70000) from generate_series(1, 3) g", "select length($1::text)", "select $1::text", "insert into t select length($1::text), 1 returning id",
		"copy (select repeat('z', 70000) from generate_series(1, 3)) to stdout", "select repeat('x', 70000), 1/0", "select repeat('x', 70000), 10 / (3 - g) from generate_series(1, 3) g", "do $$ begin raise notice '%', repeat('n', 70000); end $$"}
	seqNotices = []string{"do $$ begin raise notice 'hello'; raise warning 'you'; end $$", "drop table if exists nosuch", "select 1 as a23456789b23456789c23456789d23456789e23456789f23456789g23456789", "commit", "rollback",
		"set local work_mem = '6MB'", "begin", "begin read only", "savepoint a23456789b23456789c23456789d23456789e23456789f23456789g23456789", "set client_min_messages = 'error'", "reset client_min_messages", "truncate d cascade",
		"create table if not exists t (id int)", "do $$ begin raise info 'seen'; raise exception 'no' using hint = 'none', detail = 'some'; end $$", "do $$ begin raise notice 'first'; perform 1/0; end $$", "begin; commit; commit; select 1"}
)

func (g *generator) wide() {
	switch g.r.IntN(10) {
	case 0, 1:
		g.copyScript()
	case 2, 3:
		g.steps(seqInLazy, g.one("begin", "begin", "begin isolation level read committed", "begin read only", "begin isolation level repeatable read", "start transaction isolation level repeatable read read only"))
	case 4:
		g.steps(seqTwoPhase, "begin")
	case 5:
		g.long()
	case 6:
		g.suspended()
	case 7:
		g.flushed()
	case 8:
		g.steps(seqNotices, "")
	case 9:
		g.called()
	}
}

// copyScript adds a script with COPY, and data that may fail.
func (g *generator) copyScript() {
	g.query(g.one(seqCopyScripts...))
	for range 1 + g.r.IntN(2) {
		for range g.r.IntN(3) {
			g.data()
		}
		switch g.r.IntN(6) {
		case 0:
			g.message("copy fail", 'f', wire.String("no more"))
		case 1:
			g.end("S")
		default:
			g.message("copy done", 'c')
		}
	}
	g.query(g.one("select 1", "rollback", "insert into t values (75, 1)", "commit"))
}

// steps adds statements of either protocol, mostly in a block that begins so.
func (g *generator) steps(from []string, begin string) {
	if begin != "" && g.chance(80) {
		g.either(begin)
	}
	for range 1 + g.r.IntN(5) {
		g.either(g.one(from...))
	}
	if begin != "" && g.chance(70) {
		g.either(g.one("commit", "rollback", "commit and chain", "commit; select 1"))
	}
}

// either adds a statement by one protocol or the other, at times without its Sync.
func (g *generator) either(sql string) {
	if strings.Contains(sql, ";") && !strings.HasPrefix(sql, "do ") || g.chance(50) {
		g.query(sql)
		return
	}
	g.parse("", sql)
	g.bind("", "", 0)
	if g.chance(50) {
		g.target('D', "P", "")
	}
	g.execute("")
	g.end(g.one("S", "S", "S", "H", ""))
}

// long adds rows and parameters of more than 64 KiB.
func (g *generator) long() {
	sql := g.one(seqLong...)
	g.parse("", sql)
	if args := []string{"7*70000"}; strings.Contains(sql, "$1") {
		g.add(fmt.Sprintf("bind %q %q %v", "", "", args), bindText("", "", long(args)))
	} else {
		g.bind("", "", 0)
	}
	for range 1 + g.r.IntN(3) {
		g.execute("")
		g.end(g.one("", "H", ""))
	}
	g.end("S")
}

// long returns values, of which "7*70000" is so many sevens.
func long(args []string) (all []string) {
	for _, a := range args {
		if what, times, ok := strings.Cut(a, "*"); ok {
			n, _ := strconv.Atoi(times)
			a = strings.Repeat(what, n)
		}
		all = append(all, a)
	}
	return all
}

// suspended opens portals in a block and goes on reading them behind Syncs, to the
// block's end and past it.
func (g *generator) suspended() {
	g.query(g.one(seqBegins...))
	var open []string
	for range 1 + g.r.IntN(2) {
		p := fmt.Sprintf("w%d", g.portals)
		g.portals++
		open = append(open, p)
		g.parse("", g.one("select id, v from t order by id", "select g, repeat('y', 30000) from generate_series(1, 5) g", "insert into t values ($1::int, 2) returning id", "select 10 / (3 - g) from generate_series(1, 5) g",
			"declare c cursor for select 1", "show work_mem", "update t set v = v + 1 returning id"))
		g.bind(p, "", g.r.IntN(2))
		if g.chance(50) {
			g.end("S")
		}
	}
	for range 2 + g.r.IntN(5) {
		p := g.one(open...)
		switch g.r.IntN(9) {
		case 0:
			g.target('C', "P", p)
		case 1:
			g.target('D', "P", p)
		case 2:
			g.query(g.one("select 1", "savepoint a", "rollback to a", "commit", "rollback", "insert into t values (76, 1)"))
		default:
			g.message(fmt.Sprintf("execute %q 1", p), 'E', []byte(p+"\x00\x00\x00\x00\x01"))
		}
		g.end(g.one("S", "S", "H", ""))
	}
	g.end("S")
}

// flushed adds messages with a Flush, or a Close, anywhere between them.
func (g *generator) flushed() {
	stmt, portal := g.one("", "f1", "f2"), g.portal()
	sql := g.one(append(append([]string{}, seqDriven...), seqInLazy...)...)
	for range 1 + g.r.IntN(2) {
		for _, add := range []func(){
			func() { g.parse(stmt, sql) },
			func() { g.target('D', "S", stmt) },
			func() { g.bind(portal, stmt, strings.Count(sql, "$1")) },
			func() { g.target('D', "P", portal) },
			func() { g.execute(portal) },
		} {
			if g.chance(90) {
				add()
			}
			if g.chance(30) {
				g.end("H")
			}
			if g.chance(8) {
				g.target('C', "P", portal)
			}
			if g.chance(8) {
				g.target('C', "S", stmt)
			}
		}
		portal = g.portal()
	}
	g.end("S")
}

// called adds function calls in blocks and amid groups.
func (g *generator) called() {
	if g.chance(60) {
		g.either(g.one(seqBegins...))
	}
	for range 1 + g.r.IntN(3) {
		if g.chance(30) {
			g.parse("", g.one("select 1", "select 1/0", "insert into t values (77, 1)"))
			g.bind("", "", 0)
			g.execute("")
		}
		g.call()
		g.end(g.one("S", "", "H"))
	}
	if g.chance(60) {
		g.query(g.one("commit", "rollback"))
	}
}
