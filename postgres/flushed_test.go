package postgres

import (
	"strings"
	"testing"

	"meridian/postgres/wire"
)

// statement is one statement in the extended protocol, without its Sync.
func statement(sql string) []byte { return join(parse("", sql), bind("", ""), execute("")) }

// TestWhatAFlushedGroupSetIsUndoneWithIt sets something in a group that goes on, and
// is flushed: it is reported at the group's end, as PostgreSQL does, and is gone if
// the group fails, on whatever server.
func TestWhatAFlushedGroupSetIsUndoneWithIt(t *testing.T) {
	w, _ := fixture(t, "setting")
	for _, p := range []*Proxy{w.iad, w.dub} {
		for _, read := range []string{"", "select 1"} { // the standby has answered that
			r := dialRaw(t, p, 0)
			if read != "" {
				r.send(join(statement(read), flushMsg))
				r.until('C')
			}
			r.send(join(statement("set application_name = 'kept'"), flushMsg))
			r.until('C')
			r.send(join(statement("delete from setting where id = -1"), syncMsg))
			if types, _ := r.until('Z'); types != "12CSZ" {
				t.Errorf("%s: it is reported at the end: %s", p.cfg.Region, types)
			}
			if read != "" {
				r.send(join(statement(read), flushMsg))
				r.until('C')
			}
			r.send(join(statement("set application_name = 'undone'"), flushMsg))
			r.until('C')
			r.send(join(statement("insert into setting values (1, 1)"), syncMsg))
			if types, _ := r.until('Z'); !strings.Contains(types, "E") {
				t.Fatalf("the insert did not fail: %s", types)
			}
			r.send(wire.Builder(nil).Query("show application_name"))
			if _, row := r.until('D'); !strings.HasSuffix(string(row), "kept") {
				t.Errorf("%s, behind %q: a setting that was rolled back is %q", p.cfg.Region, read, row)
			}
		}
	}
}

// TestASettingIsReportedThoughItsGroupMoves has the standby run a SET that was bound
// before the first Flush, and then moves the group.
func TestASettingIsReportedThoughItsGroupMoves(t *testing.T) {
	w, _ := fixture(t, "reported")
	for _, p := range []*Proxy{w.iad, w.dub} {
		r := dialRaw(t, p, 0)
		r.send(join(statement("select 1"), parse("set", "set application_name = 'told'"), bind("set", "set"), flushMsg))
		r.until('C')
		r.until('2')
		r.send(join(execute("set"), flushMsg))
		r.until('C')
		r.send(join(statement("delete from reported where id = -1"), syncMsg))
		if types, _ := r.until('Z'); types != "12CSZ" {
			t.Errorf("%s: %s", p.cfg.Region, types)
		}
	}
}

// TestWhatFollowsACommitIsNotOfItsBlock ends a READ ONLY block that has its snapshot
// on the standby, and writes without a Sync between them.
func TestWhatFollowsACommitIsNotOfItsBlock(t *testing.T) {
	w, _ := fixture(t, "behind")
	for _, p := range []*Proxy{w.iad, w.dub} {
		for _, end := range []string{"commit", "rollback"} {
			r := dialRaw(t, p, 0)
			r.send(wire.Builder(nil).Query("begin isolation level repeatable read read only"))
			r.until('Z')
			r.send(wire.Builder(nil).Query("select count(*) from behind"))
			r.until('Z')
			r.send(join(statement(end), statement("insert into behind values (800, 1)"), statement("delete from behind where id = 800"), syncMsg))
			if types, status := r.until('Z'); types != "12C12C12CZ" || string(status) != "I" {
				t.Errorf("%s: %s and a write: %s, %s", p.cfg.Region, end, types, status)
			}
			r.send(join(statement("begin read only"), syncMsg, statement("select 1"), syncMsg, statement(end), statement("begin"), statement("insert into behind values (801, 1)"), syncMsg))
			for _, want := range []string{"12CZ", "12DCZ", "12C12C12CZ"} {
				if types, _ := r.until('Z'); types != want {
					t.Errorf("%s: %s and a block: %s, want %s", p.cfg.Region, end, types, want)
				}
			}
			r.send(wire.Builder(nil).Query("rollback"))
			r.until('Z')
		}
	}
}

// TestTheRestOfAFlushedGroupIsBehindARead: what may only be the first of its
// transaction is refused behind what the standby has answered, and a block may begin.
func TestTheRestOfAFlushedGroupIsBehindARead(t *testing.T) {
	w := newWorld(t)
	for _, p := range []*Proxy{w.iad, w.dub} {
		for sql, want := range map[string]string{"rollback prepared 'nosuch'": "25001", "begin isolation level serializable": "25001", "vacuum": "25001", "begin": "", "create temp table here ()": ""} {
			r := dialRaw(t, p, 0)
			r.send(join(statement("select 1"), flushMsg))
			r.until('C')
			r.send(join(statement(sql), syncMsg))
			got := ""
			for f, err := r.rd.Frame(); f.Type() != 'Z'; f, err = r.rd.Frame() {
				if err != nil {
					t.Fatal(err)
				}
				if e, err := wire.ParseError(f.Body()); f.Type() == 'E' && err == nil {
					got = e.Code
				}
			}
			if got != want {
				t.Errorf("%s: %s behind a read: %q, want %q", p.cfg.Region, sql, got, want)
			}
		}
	}
}

// TestAStatementIsBroughtAmidAGroup names what was prepared on the other server in a
// text, in a group that goes on there; a portal that is open stays so.
func TestAStatementIsBroughtAmidAGroup(t *testing.T) {
	w, _ := fixture(t, "amid")
	two := wire.Builder(nil).Message('E', wire.String("p"), []byte{0, 0, 0, 2})
	for _, p := range []*Proxy{w.iad, w.dub} {
		for _, open := range []string{"select id from amid order by id", "select id from amid order by id for update"} {
			r := dialRaw(t, p, 0)
			near := open == "select id from amid order by id"
			if near { // it is prepared on the primary
				r.send(join(wire.Builder(nil).Query("begin"), wire.Builder(nil).Query("prepare theirs as select 7"), wire.Builder(nil).Query("commit")))
				r.until('Z')
				r.until('Z')
			} else {
				r.send(wire.Builder(nil).Query("prepare theirs as select 7"))
			}
			r.until('Z')
			r.send(join(parse("", open), bind("p", ""), two, flushMsg))
			r.until('s')
			r.send(join(statement("execute theirs"), flushMsg))
			if types, _ := r.until('C'); types != "12DC" {
				t.Fatalf("%s: %s, and EXECUTE: %s", p.cfg.Region, open, types)
			}
			r.send(join(two, syncMsg))
			if types, _ := r.until('Z'); types != "DDsZ" {
				t.Errorf("%s: %s, and its portal: %s", p.cfg.Region, open, types)
			}
		}
	}
}

// TestWhatATextNamesIsBroughtToBeDescribed describes an EXECUTE on the server that was
// not told of its statement, and does not take it for brought in a failed block.
func TestWhatATextNamesIsBroughtToBeDescribed(t *testing.T) {
	w, _ := fixture(t, "named")
	for _, p := range []*Proxy{w.iad, w.dub} {
		r := dialRaw(t, p, 0)
		query := func(sql, want string) {
			t.Helper()
			r.send(wire.Builder(nil).Query(sql))
			if types, _ := r.until('Z'); types != want {
				t.Errorf("%s: %s: %s, want %s", p.cfg.Region, sql, types, want)
			}
		}
		query("prepare theirs as select 7", "CZ")
		query("prepare others as select 8", "CZ")
		query("begin", "CZ")
		query("lock named", "CZ")
		r.send(join(parse("", "execute theirs"), wire.Builder(nil).Message('D', []byte("S\x00")), syncMsg))
		if types, _ := r.until('Z'); types != "1tTZ" {
			t.Errorf("%s: %s", p.cfg.Region, types)
		}
		query("select 1/0", "EZ")
		query("execute others", "EZ")
		query("rollback", "CZ")
		query("begin", "CZ")
		query("lock named", "CZ")
		query("execute others", "TDCZ")
		query("rollback", "CZ")
	}
}

// TestABlockThatMovedWithItsGroupIsNotLeftOnTheStandby opens a block and has the
// standby refuse what follows in the same group: reads go on there afterwards.
func TestABlockThatMovedWithItsGroupIsNotLeftOnTheStandby(t *testing.T) {
	w := newWorld(t)
	for _, p := range []*Proxy{w.iad, w.dub} {
		r := dialRaw(t, p, 0)
		r.send(join(statement("begin read only"), statement("fetch 2 from nosuch"), syncMsg))
		if types, _ := r.until('Z'); types != "12C12EZ" {
			t.Errorf("%s: %s", p.cfg.Region, types)
		}
		for _, sql := range []string{"commit", "select 1"} {
			r.send(join(statement(sql), syncMsg))
			if types, status := r.until('Z'); strings.Contains(types, "E") || string(status) != "I" {
				t.Errorf("%s: %s: %s, %s", p.cfg.Region, sql, types, status)
			}
		}
	}
}
