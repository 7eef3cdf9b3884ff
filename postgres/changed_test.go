package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// A statement that was prepared on the standby, with a format for each of its
// columns, is refused on the primary in the words for which drivers prepare anew.
func TestChangedPlansAreRefusedInPostgreSQLsWords(t *testing.T) {
	w := newWorld(t)
	c := w.connect(dsn(w.dub))
	w.exec(c, "drop table if exists changed", "create table changed (a int, b int)", "insert into changed values (1, 2)")
	w.eventually("a read on the standby", func() bool { return get[bool](w, c, "select pg_is_in_recovery()") })
	pg, ctx := c.PgConn(), context.Background()
	if _, err := pg.Prepare(ctx, "mine", "select * from changed", nil); err != nil {
		t.Fatal(err)
	}
	run := func(formats ...int16) error { return pg.ExecPrepared(ctx, "mine", nil, nil, formats).Read().Err }
	if err := run(1, 1); err != nil {
		t.Fatal(err)
	}
	w.exec(c, "alter table changed add c int")
	for range 2 {
		_, err := pg.Exec(ctx, "begin").ReadAll() // on the primary
		var e *pgconn.PgError
		if err = errors.Join(err, run(1, 1)); !errors.As(err, &e) || e.Code != "0A000" || e.Routine != "RevalidateCachedQuery" {
			t.Errorf("%v, want that the plan must not change", err)
		}
		w.exec(c, "rollback")
	}
	// What the client itself prepared there with too few formats stays malformed.
	w.exec(c, "begin", "lock changed")
	if _, err := pg.Prepare(ctx, "there", "select * from changed", nil); err != nil {
		t.Fatal(err)
	}
	var e *pgconn.PgError
	if err := pg.ExecPrepared(ctx, "there", nil, nil, []int16{1, 1}).Read().Err; !errors.As(err, &e) || e.Code != "08P01" {
		t.Errorf("%v, want a protocol violation", err)
	}
}
