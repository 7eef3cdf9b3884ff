package postgres

import (
	"bytes"
	"testing"

	"meridian"
	"meridian/postgres/wire"
)

// fetch asks for n rows of a portal.
func fetch(portal string, n byte) []byte {
	return wire.Builder(nil).Message('E', wire.String(portal), []byte{0, 0, 0, n})
}

// TestAPortalIsReadToItsEndWhereItIs reads from a portal in many steps, without a
// Sync between them, while all that decides where reads run becomes something else:
// the catalogues change, replay stands still, others write, and the steps are more
// than is held. The portal is on the standby, and so are its rows.
func TestAPortalIsReadToItsEndWhereItIs(t *testing.T) {
	for _, level := range []meridian.Level{meridian.Session, meridian.Global, meridian.Eventual} {
		mode := meridian.Consistency{Level: level}
		t.Run(mode.String(), func(t *testing.T) {
			w := newWorld(t, func(c *Config, _ *Deps) { c.Hold, c.Consistency = 1<<10, mode })
			r, other := dialRaw(t, w.dub, 0), w.connect(dsn(w.dub))
			r.send(join(parse("", "select g, pg_is_in_recovery() from generate_series(1, 300) g"), bind("p", ""), describe("p"), fetch("p", 1), flushMsg))
			if _, row := r.until('D'); row[len(row)-1] != 't' {
				t.Fatal("no portal on the standby: the test shows nothing")
			}
			r.until('s')
			thaw := w.freeze()
			w.exec(other, "drop table if exists goes_on", "create table goes_on (a int)")
			for i := 2; i <= 300; i++ {
				r.send(join(fetch("p", 1), flushMsg))
				if types, _ := r.until('s'); types != "Ds" {
					t.Fatalf("row %d: %q", i, types)
				}
			}
			r.send(join(fetch("p", 1), syncMsg))
			if types, _ := r.until('Z'); types != "CZ" {
				t.Errorf("at the end: %q", types)
			}
			thaw()
			r.send(wire.Builder(nil).Query("select count(*) from goes_on"))
			if types, _ := r.until('Z'); types != "TDCZ" {
				t.Errorf("afterwards: %q", types)
			}
		})
	}
}

// TestNothingRunsAfterAnErrorInItsGroup has a read fail on the standby, and writes in
// the same group after the client has seen that: PostgreSQL passes over them.
func TestNothingRunsAfterAnErrorInItsGroup(t *testing.T) {
	w := newWorld(t)
	c, r := w.connect(dsn(w.dub)), dialRaw(t, w.dub, 0)
	w.exec(c, "drop table if exists passed", "create table passed (a int)")
	w.caughtUp(c)
	r.send(join(parse("", "select 1/(a-a) from (values (1)) v(a)"), bind("", ""), execute(""), flushMsg))
	if types, body := r.until('E'); !bytes.Contains(body, []byte("22012")) {
		t.Fatalf("%q %q", types, body)
	}
	r.send(join(parse("", "insert into passed values (1)"), bind("", ""), execute(""), syncMsg))
	if types, _ := r.until('Z'); types != "Z" {
		t.Errorf("after the error: %q", types)
	}
	if n := get[int](w, c, "select count(*) from passed"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}
