package postgres

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"meridian/postgres/wire"
)

// What sequences are made of. $1 is an int wherever it stands.
var (
	seqReads = []string{"select 1", "select id, v from t order by id", "select count(*) from t", "select v from t where id = $1", "select generate_series(1, 5)", "select 1/0",
		"select 10 / (3 - g) from generate_series(1, 5) g", "select nosuch", "selec", "", "show search_path", "select $1::int + 1", "table t order by id", "values (1), (2)"}
	seqWrites = []string{"insert into t values (10, 1)", "insert into t values ($1::int, 2) returning id, v", "insert into t values (1, 1)", "update t set v = v + 1 where id = 2 returning v",
		"delete from t where id = 3", "insert into d values (1)", "insert into d values (2)", "select nextval('sq')", "select writes(7)", "select swallows()",
		"select id from t where id < 3 order by id for update", "do $$ begin raise notice 'hello'; end $$", "do $$ begin insert into t values (30, 1); end $$", "call commits()",
		"lock table t", "notify ch", "listen ch", "create temp table tmp (a int)", "insert into tmp values (1)", "select * from tmp", "create table u (a int)", "drop table u",
		"insert into t select g, g from generate_series(50, 52) g"}
	seqBlocks = []string{"begin", "begin", "begin", "start transaction isolation level repeatable read", "begin isolation level serializable", "commit", "commit", "rollback", "rollback", "savepoint a",
		"rollback to a", "release a", "commit and chain", "rollback and chain", "end", "abort", "set transaction isolation level serializable", "begin; select 1", "prepare transaction 'x'"}
	seqReadOnly = []string{"begin read only", "begin isolation level repeatable read read only", "begin transaction read only"}
	seqSession  = []string{"set work_mem = '5MB'", "show work_mem", "set local work_mem = '6MB'", "reset work_mem", "prepare p1 as select v from t where id = 2", "prepare p2 as update t set v = 0 where id = 2",
		"execute p1", "execute p2", "deallocate p1", "deallocate all", "discard all", "declare c cursor for select id from t order by id", "declare h cursor with hold for select id from t order by id",
		"fetch 2 from c", "fetch 2 from h", "close c", "close all", "set application_name = 'x'", "reset all", "select set_config('work_mem', '7MB', false)", "discard plans", "set session characteristics as transaction read write"}
	seqScripts = []string{"select 1; select 2", "select 1; insert into t values (20, 1)", "insert into t values (21, 1); select 1/0", "begin; insert into t values (22, 1)", "commit; select 1",
		"begin; select 1; commit; begin; select 2", "insert into t values (23, 1); commit; select 1/0", "select 1;; select 2", "begin; select 1/0; select 3", "select count(*) from t; rollback",
		"select 1; selec", "copy t to stdout; select 1", "select 1; copy t from stdin; select 2", "set work_mem = '8MB'; select 1/0", "begin; set work_mem = '9MB'; commit", "insert into d values (1); select 5"}
	seqCopies = []string{"copy t from stdin", "copy t (id, v) from stdin with (format csv)", "copy nosuch from stdin", "copy t (id) from stdin", "copy tmp from stdin"}
	seqOuts   = []string{"copy t to stdout", "copy (select id from t order by id) to stdout", "copy (select 10 / (3 - g) from generate_series(1, 5) g) to stdout"}
	// What came later: sequences of a seed that is odd, from 63001 on, have it, too.
	seqLater = []string{"savepoint b", "rollback to b", "rollback to savepoint nosuch", "set local meridian.consistency = 'strong'", "set meridian.consistency = 'eventual'", "reset meridian.consistency",
		"set meridian.transactions = 'lazy'", "set meridian.transactions = 'whole'", "set local search_path = 'seq'", "set datestyle = 'SQL, DMY'", "set timezone = 'UTC'",
		"set client_encoding = 'LATIN1'", "reset client_encoding", "select repeat('x', 70000)", "select repeat('y', 9000) from generate_series(1, 10)", "select g from generate_series(1, 3000) g", "table nosuch",
		"commit prepared 'x'", "rollback prepared 'x'", "notify ch, 'said'", "unlisten *", "deallocate nosuch", "prepare p3 (int) as select $1 + 1", "execute p3(4)", "explain (costs off) execute p1",
		"move 1 in c", "fetch all from c", "declare k scroll cursor for values (1), (2), (3)", "fetch backward 1 from k", "create temp table tmp2 as select 1 as a", "drop table tmp", "set constraints all immediate",
		"set session authorization default", "set role none", "select current_setting('work_mem')", "begin read write", "select 1 where false", "delete from t where false", "truncate d",
		"select * from t where id = 1", "select t from t where id = 1"}
	seqLaterScripts = []string{"savepoint a; select 1", "begin; savepoint a; insert into t values (25, 1); rollback to a; commit", "begin read only; select count(*) from t; commit", "select 1; commit; select 2",
		"select 1; begin; select 2", "rollback; begin", "insert into t values (26, 1); begin; insert into t values (27, 1); rollback", "prepare p4 as select 4; execute p4; deallocate p4", "set local work_mem = '3MB'; show work_mem",
		"discard temp; select 1", "begin; declare c cursor for select id from t order by id; fetch 1 from c", "begin isolation level repeatable read; select 1; savepoint a", "; ;", "select 1; ; select 1/0; select 2"}
	seqNames = []string{"", "", "", "a", "b"}
	seqData  = []string{"40\t4\n", "41\t5\n", "42,6\n", "x\ty\n", "43\t", "1\t1\n", "\\.\n", "", "44\n"}
)

// A generator makes one sequence.
type generator struct {
	r        *rand.Rand
	readOnly bool
	later    bool
	drivers  bool
	newest   bool
	widest   bool
	portals  int
	q        sequence
}

// generate makes the sequence of a seed.
func generate(seed uint64) sequence {
	g := &generator{r: rand.New(rand.NewPCG(seed, 1))}
	g.q.name = fmt.Sprintf("seed %d", seed)
	g.q.style = g.one("", "", "meridian.consistency=global", "meridian.consistency=strong", "meridian.transactions=lazy", "meridian.consistency=bounded(1s)")
	g.readOnly = g.chance(25)
	g.later = seed%2 == 1 && seed >= 63000 // older seeds stay what they were
	g.drivers, g.newest, g.widest = seed >= driverSeeds, seed >= moreSeeds, seed >= wideSeeds
	for range 2 + g.r.IntN(12) {
		g.unit()
		if g.chance(40) {
			g.q.steps[len(g.q.steps)-1].pause = true
		}
	}
	return g.q
}

func (g *generator) chance(percent int) bool   { return g.r.IntN(100) < percent }
func (g *generator) one(from ...string) string { return from[g.r.IntN(len(from))] }
func (g *generator) add(says string, b []byte) {
	g.q.steps = append(g.q.steps, sent{says: says, bytes: b})
}
func (g *generator) message(says string, typ byte, parts ...[]byte) {
	g.add(says, wire.Builder(nil).Message(typ, parts...))
}

// sql returns a statement of either protocol.
func (g *generator) sql() string {
	if g.later && g.chance(25) {
		return g.one(seqLater...)
	}
	switch n := g.r.IntN(100); {
	case g.readOnly && n < 15:
		return g.one(seqReadOnly...)
	case g.readOnly && n < 60 || n < 40:
		return g.one(seqReads...)
	case n < 65:
		return g.one(seqWrites...)
	case n < 85:
		sql := g.one(seqBlocks...)
		if g.readOnly && sql == "rollback and chain" { // a block that failed goes on as one that may write
			sql = "rollback"
		}
		return sql
	}
	return g.one(seqSession...)
}

// unit adds messages that belong together, mostly.
func (g *generator) unit() {
	if g.widest && g.chance(50) {
		g.wide()
		return
	}
	if g.newest && g.chance(50) {
		g.more()
		return
	}
	if g.drivers && g.chance(50) {
		g.driver()
		return
	}
	switch n := g.r.IntN(100); {
	case n < 25:
		g.query(strings.ReplaceAll(g.sql(), "$1", "4"))
	case n < 32 && g.later && g.chance(50):
		g.query(g.one(seqLaterScripts...))
	case n < 32:
		g.query(g.one(seqScripts...))
	case n < 40 && g.later:
		g.batch()
	case n < 68:
		g.extended(g.sql())
	case n < 73:
		g.extended(g.one(seqOuts...))
	case n < 83:
		g.copy()
	default:
		g.stray()
	}
}

func (g *generator) query(sql string) { g.add("query "+sql, wire.Builder(nil).Query(sql)) }

// extended adds the messages of one statement, some left out.
func (g *generator) extended(sql string) {
	stmt, portal := g.one(seqNames...), g.portal()
	if g.chance(90) {
		g.message(fmt.Sprintf("parse %q %s", stmt, sql), 'P', wire.String(stmt), wire.String(sql), []byte{0, 0})
	}
	if g.chance(10) {
		g.message(fmt.Sprintf("describe statement %q", stmt), 'D', []byte("S"), wire.String(stmt))
	}
	binds := g.chance(95)
	if n := strings.Count(sql, "$1"); binds {
		if g.chance(3) {
			n++
		}
		g.bind(portal, stmt, n)
	}
	if binds && g.chance(50) { // a BEGIN's portal is not there where that was answered before it was sent
		g.message(fmt.Sprintf("describe portal %q", portal), 'D', []byte("P"), wire.String(portal))
	}
	if g.chance(95) {
		g.execute(portal)
	}
	for g.chance(10) {
		g.end("H")
		g.execute(portal)
	}
	g.end(g.one("", "S", "S", "S", "S", "H"))
}

// batch adds several statements up to one Sync, what is bound amiss, and portals that
// are described, fetched from and closed amid.
func (g *generator) batch() {
	for range 2 + g.r.IntN(4) {
		sql, portal := g.sql(), g.portal()
		g.message(fmt.Sprintf("parse \"\" %s", sql), 'P', wire.String(""), wire.String(sql), []byte{0, 0})
		g.add(g.odd(portal, strings.Count(sql, "$1")))
		g.execute(portal)
		if g.chance(20) {
			g.message(fmt.Sprintf("describe portal %q", portal), 'D', []byte("P"), wire.String(portal))
			g.execute(portal)
		}
		if g.chance(20) {
			g.message(fmt.Sprintf("close portal %q", portal), 'C', []byte("P"), wire.String(portal))
		}
		if g.chance(10) {
			g.end("H")
		}
	}
	g.end("S")
}

// odd returns a Bind, which now and then has formats that do not fit.
func (g *generator) odd(portal string, args int) (string, []byte) {
	formats := g.r.IntN(12)
	return fmt.Sprintf("bind %q \"\" with %d parameters, formats %d", portal, args, formats), oddBind(portal, args, formats)
}

func oddBind(portal string, args, formats int) []byte {
	b := append(wire.String(portal), wire.String("")...)
	switch formats {
	case 0:
		b = append(b, 0, 2, 0, 0, 0, 0) // for two parameters
	default:
		b = append(b, 0, 0)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(args))
	for range args {
		b = append(binary.BigEndian.AppendUint32(b, 1), '5')
	}
	switch formats {
	case 1:
		b = append(b, 0, 2, 0, 0, 0, 0) // for two columns
	case 2:
		b = append(b, 0, 1, 0, 1)
	case 3:
		b = append(b, 0, 1, 0, 7)
	default:
		b = append(b, 0, 0)
	}
	return wire.Builder(nil).Message('B', b)
}

// portal returns the name of a portal. None is opened twice: one that was opened
// before a Flush is not there any more where the rest of its group runs on the
// primary.
func (g *generator) portal() string {
	if g.portals++; g.chance(60) {
		return ""
	}
	return fmt.Sprintf("p%d", g.portals)
}

func (g *generator) end(how string) {
	switch how {
	case "S":
		g.message("sync", 'S')
	case "H":
		g.message("flush", 'H')
		g.q.steps[len(g.q.steps)-1].pause = g.chance(70)
	}
}

func (g *generator) bind(portal, stmt string, args int) {
	var list []string
	for range args {
		list = append(list, fmt.Sprint(g.r.IntN(60)))
	}
	g.add(fmt.Sprintf("bind %q %q %v", portal, stmt, list), bindText(portal, stmt, list))
}

func (g *generator) execute(portal string) {
	rows := uint32(g.r.IntN(8))
	if rows > 3 {
		rows = 0
	}
	g.message(fmt.Sprintf("execute %q %d", portal, rows), 'E', wire.String(portal), binary.BigEndian.AppendUint32(nil, rows))
}

// copy adds COPY FROM STDIN and what follows it.
func (g *generator) copy() {
	sql := g.one(seqCopies...)
	extended := g.chance(50)
	if extended {
		g.extended(sql)
	} else {
		g.query(sql)
	}
	for range g.r.IntN(4) {
		g.data()
	}
	if g.chance(5) {
		g.stray()
	}
	if g.chance(75) {
		g.message("copy done", 'c')
	} else {
		g.message("copy fail", 'f', wire.String("no more"))
	}
	if extended && g.chance(80) {
		g.end("S")
	}
}

func (g *generator) data() {
	d := g.one(seqData...)
	g.message(fmt.Sprintf("data %q", d), 'd', []byte(d))
}

// stray adds one message that stands alone.
func (g *generator) stray() {
	name := g.one(seqNames...)
	switch g.r.IntN(13) {
	case 0, 1, 2:
		g.end("S")
	case 3, 4:
		g.end("H")
	case 5:
		g.data()
	case 6:
		g.message("copy done", 'c')
	case 7:
		g.message("copy fail", 'f', wire.String("no more"))
	case 8:
		kind := g.one("S", "P")
		g.message("close "+kind+" "+name, 'C', []byte(kind), wire.String(name))
	case 9:
		g.message("describe S "+name, 'D', []byte("S"), wire.String(name))
	case 10:
		g.execute(name)
	case 11:
		g.bind(g.portal(), name, g.r.IntN(2))
	case 12:
		g.call()
	}
}

// call adds a function call.
func (g *generator) call() { g.calls(g.one("int4pl", "int4div", "writes", "swallows", "nosuch")) }

func (g *generator) calls(name string) {
	oid, args := calls[name], [][]byte{{0, 0, 0, 90}}
	switch name {
	case "int4pl":
		oid, args = 177, [][]byte{{0, 0, 0, 1}, {0, 0, 0, 2}}
	case "int4div":
		oid, args = 154, [][]byte{{0, 0, 0, 1}, {0, 0, 0, 0}}
	case "swallows":
		args = nil
	}
	b := binary.BigEndian.AppendUint32(nil, oid)
	b = append(b, 0, 1, 0, 1, 0, byte(len(args)))
	for _, a := range args {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(a))), a...)
	}
	g.message("call "+name, 'F', b, []byte{0, 0})
}
