package postgres

import (
	"testing"
)

func TestThinnestPath(t *testing.T) {
	w := newWorld(t)
	p := w.connect(dsn(w.iad))
	w.exec(p, "drop table if exists thin", "create table thin (id int primary key, v int)", "insert into thin values (1, 1)")
	c := w.connect(dsn(w.dub))
	w.exec(c, "insert into thin values (2, 2)")
	if n := get[int](w, c, "select count(*) from thin"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	if !get[bool](w, c, "select pg_is_in_recovery()") {
		t.Error("a read ran on the primary")
	}
}
