package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A statement that was prepared on the standby, whose columns are others by now, is
// refused on the primary in the words for which drivers prepare anew, however the
// client says their formats.
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
	for _, formats := range [][]int16{{1, 1}, {1}, {0}, nil, {1, 0}} {
		_, err := pg.Exec(ctx, "begin").ReadAll() // on the primary
		var e *pgconn.PgError
		if err = errors.Join(err, run(formats...)); !errors.As(err, &e) || e.Code != "0A000" || e.Routine != "RevalidateCachedQuery" {
			t.Errorf("%v: %v, want that the plan must not change", formats, err)
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

// TestRowsAreAsTheClientWasTold prepares a statement on the primary whose columns are
// others on the standby, which is behind, and runs it where eventual reads run: its
// rows have the columns that the client was told. In a block that cannot leave the
// standby any more it is refused as PostgreSQL refuses a plan that has changed.
func TestRowsAreAsTheClientWasTold(t *testing.T) {
	w := newWorld(t)
	c, root := w.connect(dsn(w.dub)+"&options=-c%20meridian.consistency%3Deventual"), w.superuser(pair.primary)
	w.exec(c, "drop table if exists told", "create table told (a int, b int)", "insert into told values (1, 2)")
	pg, ctx := c.PgConn(), context.Background()
	refused := w.dub.metrics.byRoute["refused"]
	for round := 0; testutil.ToFloat64(refused) == 0; round++ { // until one ran before the catalogues were read
		if round == 20 {
			t.Fatal("no standby was behind: the test shows nothing")
		}
		name := fmt.Sprint("named", round)
		w.caughtUp(c)
		thaw := w.freeze()
		w.exec(root, fmt.Sprintf("alter table told add column c%d int default 7", round)) // nobody tells the proxies
		w.exec(c, "begin", "lock told in access share mode")
		if _, err := pg.Prepare(ctx, name, "select * from told", nil); err != nil {
			t.Fatal(err)
		}
		w.exec(c, "commit")
		run := func() *pgconn.Result { return pg.ExecPrepared(ctx, name, nil, nil, nil).Read() }
		for range 2 {
			if r := run(); r.Err != nil || len(r.Rows) != 1 || len(r.Rows[0]) != 3+round {
				t.Errorf("%v %q", r.Err, r.Rows)
			}
		}
		w.exec(c, "begin isolation level repeatable read read only")
		if get[bool](w, c, "select pg_is_in_recovery()") {
			if r := run(); state(r.Err) != "0A000" {
				t.Errorf("in a block: %v %q", r.Err, r.Rows)
			} else if _, err := c.Exec(ctx, "select 1"); state(err) != "25P02" {
				t.Errorf("the block goes on: %v", err)
			}
		}
		w.exec(c, "rollback")
		thaw()
		w.eventually("it runs on the standby", func() bool {
			before := testutil.ToFloat64(w.dub.metrics.byRoute[toNear])
			r := run()
			return r.Err == nil && len(r.Rows[0]) == 3+round && testutil.ToFloat64(w.dub.metrics.byRoute[toNear]) > before
		})
	}
}

// TestAStandbyThatIsBehindKnowsNoBetter has definitions that the standby does not know
// yet: an eventual read that names them is answered as by the primary. Control, in the
// same test: what both refuse is refused.
func TestAStandbyThatIsBehindKnowsNoBetter(t *testing.T) {
	w := newWorld(t)
	c := w.connect(dsn(w.dub) + "&options=-c%20meridian.consistency%3Deventual")
	root := w.superuser(pair.primary)
	w.exec(root, "drop table if exists forbidden", "create table forbidden (a int)", "insert into forbidden values (1)", "drop type if exists grows cascade",
		"create type grows as enum ('a')", "drop table if exists typed", "create table typed (a text)", "insert into typed values ('1')")
	w.exec(root, "grant select on typed to conduit")
	w.caughtUp(c)
	w.freeze()
	w.exec(root, "grant select on forbidden to conduit", "alter type grows add value 'b'", "alter table typed alter a type int using a::int", "create table made as select 1 as a", "grant select on made to conduit")
	t.Cleanup(func() { root.Exec(context.Background(), "drop table made") })
	for _, sql := range []string{"select a from forbidden", "select count('b'::grows)", "select sum(a) from typed", "select a from (select 1 as a union select a from typed) s", "select a from made"} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for sql, code := range map[string]string{"select * from pg_authid": "42501", "select 'c'::grows": "22P02", "select a from nowhere": "42P01", "select 'x'::int": "22P02", "selec": "42601"} {
		if _, err := c.Exec(t.Context(), sql); state(err) != code {
			t.Errorf("%s: %v, want %s", sql, err, code)
		}
	}
}
