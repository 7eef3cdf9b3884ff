package postgres

import (
	"bytes"
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

// TestABlockThatWasNeverBegunIsEndedByWhatComesFirst has a block fail for a role that
// cannot be brought to the primary: the end of the block counts, and what is behind it,
// in a script or a group, runs outside.
func TestABlockThatWasNeverBegunIsEndedByWhatComesFirst(t *testing.T) {
	w := newWorld(t)
	su := w.superuser(pair.primary)
	lock := "select pg_try_advisory_lock(1)"
	query := func(sql string) []byte { return wire.Builder(nil).Query(sql) }
	for _, k := range []struct {
		how       string
		ends      []byte
		want, end string
	}{
		{"a script", query("rollback; " + lock), "CEZ", "I"},
		{"a group", seqGroup("rollback", lock), "12CEZ", "I"},
		{"a group, which goes on with a read", seqGroup("commit", "show work_mem", "select 1"), "12C12DC12DCZ", "I"},
		{"a group whose rest comes late", bytes.TrimSuffix(seqGroup("rollback"), syncMsg), "12C", ""},
		{"a group that begins with something else", seqGroup("select 1", "rollback"), "EZ", "E"},
	} {
		w.exec(su, "drop role if exists short_lived", "create role short_lived", "grant short_lived to conduit")
		w.settle()
		r := dialRaw(t, w.dub, 0)
		for _, m := range []struct {
			sends        []byte
			want, status string
		}{
			{query("set role short_lived"), "CZ", "I"},
			{query("begin read only"), "CZ", "T"},
			{query(lock), "EZ", "E"},
			{query("select 1"), "EZ", "E"},
			{k.ends, k.want, k.end},
			{query("rollback"), "", ""},
			{query("reset role"), "CZ", "I"},
			{query(lock), "TDCZ", "I"},
		} {
			r.send(m.sends)
			if m.want == "12C" { // what comes next ends the group
				if types, _ := r.until('C'); types != m.want {
					t.Errorf("%s: %s", k.how, types)
				}
				r.send(syncMsg)
				m.want, m.status = "Z", "I"
			}
			if types, status := r.until('Z'); m.want != "" && (types != m.want || string(status) != m.status) {
				t.Errorf("%s: %q: %s, %s; want %s, %s", k.how, m.sends, types, status, m.want, m.status)
			}
			if m.status == "T" {
				w.exec(su, "drop role short_lived")
			}
		}
	}
}

// seqGroup returns statements as a group of the extended protocol.
func seqGroup(sql ...string) (out []byte) {
	for _, s := range sql {
		out = append(append(append(out, parse("", s)...), bind("", "")...), wire.Builder(nil).Message('E', make([]byte, 5))...)
	}
	return append(out, syncMsg...)
}
