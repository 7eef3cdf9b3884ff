package postgres

import (
	"testing"

	"meridian/postgres/wire"
)

// TestABlockIsOpenUntilItIsSaidToBeOver has blocks need prepared statements that cannot
// be brought to them: the client must not go on as if nothing were open, for what it
// sends then is committed.
func TestABlockIsOpenUntilItIsSaidToBeOver(t *testing.T) {
	for name, pooled := range map[string]bool{"session": false, "transaction": true} {
		t.Run(name+" pooling", func(t *testing.T) {
			w := newWorld(t, func(c *Config, _ *Deps) { c.TransactionPooling = pooled })
			su := w.superuser(pair.primary)
			w.exec(su, "drop table if exists brought", "create table brought (id int)", "grant all on brought to public")
			for _, k := range []struct{ begin, fails string }{
				{"begin read only", "select 1/0"}, // p1 is not there where the block has failed
				{"begin read only", "execute gone"},
				{"begin isolation level repeatable read read only; select 1", "execute gone"},
			} {
				c := w.connect(dsn(w.dub))
				w.exec(c, "create table going (a int)", "prepare p1 as select 1", "prepare gone as select * from going")
				w.exec(su, "drop table going")
				w.settle()
				w.exec(c, k.begin)
				for _, sql := range []string{k.fails, "execute p1", "insert into brought values (1)"} {
					if _, err := c.Exec(t.Context(), sql); err == nil {
						t.Errorf("%s; %s: %s: no error", k.begin, k.fails, sql)
					}
				}
				if !c.IsClosed() && c.PgConn().TxStatus() != 'E' {
					t.Errorf("%s; %s: %c", k.begin, k.fails, c.PgConn().TxStatus())
				}
			}
			if n := get[int](w, su, "select count(*) from brought"); n > 0 {
				t.Errorf("%d rows were written in READ ONLY blocks that had failed", n)
			}
		})
	}
}

// TestABlockThatWasNeverBegunIsEndedByAScript has a block fail for a role that cannot be
// brought to the primary: the end of the block counts, and what is behind it runs
// outside.
func TestABlockThatWasNeverBegunIsEndedByAScript(t *testing.T) {
	w := newWorld(t)
	su := w.superuser(pair.primary)
	w.exec(su, "drop role if exists short_lived", "create role short_lived", "grant short_lived to conduit")
	w.settle()
	r := dialRaw(t, w.dub, 0)
	for _, k := range []struct{ sql, want, status string }{
		{"set role short_lived", "CZ", "I"},
		{"begin read only", "CZ", "T"},
		{"select pg_advisory_lock(1)", "EZ", "E"},
		{"select 1", "EZ", "E"},
		{"rollback; select pg_advisory_lock(1)", "CEZ", "I"},
		{"reset role", "CZ", "I"},
		{"select pg_advisory_lock(1)", "TDCZ", "I"},
	} {
		r.send(wire.Builder(nil).Query(k.sql))
		if types, status := r.until('Z'); types != k.want || string(status) != k.status {
			t.Errorf("%s: %s, %s; want %s, %s", k.sql, types, status, k.want, k.status)
		}
		if k.status == "T" {
			w.exec(su, "drop role short_lived")
		}
	}
}
