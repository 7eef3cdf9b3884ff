package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// fixture gives a test a table of its own and a connection to the secondary.
func fixture(t *testing.T, table string) (*world, *pgx.Conn) {
	w := newWorld(t)
	c := w.connect(dsn(w.dub))
	w.exec(c, "drop table if exists "+table+" cascade", "create table "+table+" (id int primary key, v int)", "insert into "+table+" select g, g from generate_series(1, 10) g")
	w.caughtUp(c)
	return w, c
}

const whereSQL = "select pg_is_in_recovery()"

func TestWriteThroughTheSecondaryIsReadEverywhere(t *testing.T) {
	w, c := fixture(t, "wide")
	for i := range 20 {
		w.exec(c, fmt.Sprintf("update wide set v = %d where id = 1", i))
		if v := get[int](w, c, "select v from wide where id = $1", 1); v != i {
			t.Fatalf("%d, want %d", v, i)
		}
	}
	if v := get[int](w, w.connect(dsn(w.iad)), "select v from wide where id = 1"); v != 19 {
		t.Errorf("the primary's region reads %d", v)
	}
}

// TestWhatTheStandbyRefusesMovesAndIsRemembered runs a read that its words do
// not show to write: a sequence's function behind a built-in one.
func TestWhatTheStandbyRefusesMovesAndIsRemembered(t *testing.T) {
	w, c := fixture(t, "refusing")
	const sql = "select pg_current_wal_flush_lsn()::text"
	for i := range 3 {
		if v := get[string](w, c, sql); v == "" {
			t.Error("no position")
		}
		if n := counter(w.dub.metrics.routes.WithLabelValues("refused")); n != 1 {
			t.Errorf("run %d: refused %v times, want once", i+1, n)
		}
	}
	if !get[bool](w, c, whereSQL) {
		t.Error("reads no longer run on the standby")
	}
}

func TestPreparedStatementsFollow(t *testing.T) {
	w, c := fixture(t, "prep")
	ctx := t.Context()
	if _, err := c.Prepare(ctx, "r", "select v from prep where id = $1"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prepare(ctx, "u", "update prep set v = $2 where id = $1 returning v"); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if v := get[int](w, c, "u", 1, 100+i); v != 100+i {
			t.Errorf("update returned %d", v)
		}
		if v := get[int](w, c, "r", 1); v != 100+i {
			t.Errorf("read %d", v)
		}
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var v int
		if err := tx.QueryRow(ctx, "r", 1).Scan(&v); err != nil || v != 100+i {
			t.Errorf("in a block on the primary: %d, %v", v, err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	w.exec(c, "prepare s (int) as select v from prep where id = $1", "prepare x (int) as update prep set v = 7 where id = $1")
	w.exec(c, "execute x(2)")
	if v := simple(t, c, "execute s(2)"); v != "7" {
		t.Errorf("EXECUTE read %q", v)
	}
	w.exec(c, "deallocate s", "prepare s (int) as select -v from prep where id = $1", "begin")
	if v := simple(t, c, "execute s(2)"); v != "-7" {
		t.Errorf("EXECUTE of the statement's second meaning read %q on the primary", v)
	}
	w.exec(c, "commit")
}

// simple runs a simple query and returns its first value.
func simple(t *testing.T, c *pgx.Conn, sql string) string {
	t.Helper()
	res, err := c.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	last := res[len(res)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

func TestSettingsFollow(t *testing.T) {
	w, c := fixture(t, "setting")
	both := func(want string) {
		t.Helper()
		if got := simple(t, c, "show work_mem"); got != want {
			t.Errorf("on the standby work_mem is %s, want %s", got, want)
		}
		if got := simple(t, c, "begin; show work_mem; commit"); got != "" {
			t.Errorf("odd: %q", got)
		}
		w.exec(c, "begin")
		if got := simple(t, c, "show work_mem"); got != want {
			t.Errorf("on the primary work_mem is %s, want %s", got, want)
		}
		w.exec(c, "commit")
	}
	w.exec(c, "set work_mem = '5MB'")
	both("5MB")
	w.exec(c, "begin", "set work_mem = '6MB'", "commit")
	both("6MB")
	w.exec(c, "begin", "set work_mem = '7MB'", "rollback")
	both("6MB")
	w.exec(c, "begin", "set local work_mem = '8MB'", "commit")
	both("6MB")
	simple(t, c, "select set_config('work_mem', '9MB', false)")
	both("9MB")
	w.exec(c, "reset work_mem")
	both("4MB")
	w.exec(c, "set work_mem = '5MB'", "discard all")
	both("4MB")
}

func TestCopyBothWays(t *testing.T) {
	w, c := fixture(t, "copied")
	var rows [][]any
	for i := range 20000 {
		rows = append(rows, []any{i + 100, i})
	}
	n, err := c.CopyFrom(t.Context(), pgx.Identifier{"copied"}, []string{"id", "v"}, pgx.CopyFromRows(rows))
	if err != nil || n != 20000 {
		t.Fatalf("COPY FROM: %d, %v", n, err)
	}
	var out bytes.Buffer
	if _, err := c.PgConn().CopyTo(t.Context(), &out, "copy copied to stdout"); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 20010 {
		t.Errorf("COPY TO brought %d lines", lines)
	}
	_, err = c.PgConn().CopyFrom(t.Context(), strings.NewReader("x\ty\n"), "copy copied from stdin")
	if state(err) != "22P02" {
		t.Errorf("bad COPY data: %v", err)
	}
	if v := get[int](w, c, "select count(*) from copied"); v != 20010 {
		t.Errorf("%d rows", v)
	}
}

func TestCancelReachesEitherBackend(t *testing.T) {
	_, c := fixture(t, "canceled")
	for _, sql := range []string{"select pg_sleep(60)", "update canceled set v = 1 where pg_sleep(60) is null"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		pc := c.PgConn()
		done := make(chan error, 1)
		go func() { _, err := pc.Exec(context.Background(), sql).ReadAll(); done <- err }()
		<-ctx.Done()
		cancel()
		if err := pc.CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; state(err) != "57014" || time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %v", sql, err, time.Since(began))
		}
	}
}

func TestAdvisoryLocksAreThePrimarys(t *testing.T) {
	w, c := fixture(t, "locked")
	if !get[bool](w, c, "select pg_try_advisory_lock(42)") {
		t.Fatal("not locked")
	}
	home := w.connect(dsn(w.iad))
	if get[bool](w, home, "select pg_try_advisory_lock(42)") {
		t.Error("two sessions hold one lock")
	}
	w.exec(c, "discard all")
	if !get[bool](w, home, "select pg_try_advisory_lock(42)") {
		t.Error("DISCARD ALL did not release the lock")
	}
	w.exec(home, "select pg_advisory_unlock_all()")
	// Behind a view, and behind a user's function.
	w.exec(c, "create or replace function take() returns bool language sql as 'select pg_try_advisory_lock(43)'", "create or replace view taken as select take() as t")
	if !get[bool](w, c, "select t from taken") || get[bool](w, home, "select t from taken") {
		t.Error("a lock behind a view was taken twice, or not at all")
	}
	w.caughtUp(c)
	fresh := w.connect(dsn(w.dub))
	if get[bool](w, fresh, "select t from taken") {
		t.Error("a view's lock was taken on the standby")
	}
}

func TestReadOnlyBlocks(t *testing.T) {
	w, c := fixture(t, "blocks")
	ctx := t.Context()
	tx, err := c.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	var standby bool
	if err := tx.QueryRow(ctx, whereSQL).Scan(&standby); err != nil || !standby {
		t.Errorf("a READ ONLY block: standby %v, %v", standby, err)
	}
	// What must be the primary's moves the block, as long as it may.
	var locked bool
	if err := tx.QueryRow(ctx, "select pg_try_advisory_xact_lock(1)").Scan(&locked); err != nil || !locked {
		t.Errorf("a lock in a READ ONLY block: %v, %v", locked, err)
	}
	if err := tx.QueryRow(ctx, whereSQL).Scan(&standby); err != nil || standby {
		t.Errorf("after it: standby %v, %v", standby, err)
	}
	if _, err := tx.Exec(ctx, "insert into blocks values (100, 1)"); state(err) != "25006" {
		t.Errorf("a write in it: %v", err)
	}
	tx.Rollback(ctx)

	tx, err = c.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(ctx, whereSQL).Scan(&standby); err != nil || !standby {
		t.Errorf("a steady block: standby %v, %v", standby, err)
	}
	if err := tx.QueryRow(ctx, "select pg_try_advisory_xact_lock(1)").Scan(&locked); state(err) != "25006" {
		t.Errorf("a lock in a steady block: %v", err)
	}
	if err := tx.QueryRow(ctx, whereSQL).Scan(&standby); state(err) != "25P02" {
		t.Errorf("the block did not fail: %v", err)
	}
	tx.Rollback(ctx)
	if v := get[int](w, c, "select count(*) from blocks"); v != 10 {
		t.Errorf("%d rows", v)
	}
}

func TestBlocksRunWholeOnThePrimary(t *testing.T) {
	w, c := fixture(t, "whole")
	ctx := t.Context()
	tx, err := c.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var standby bool
	if err := tx.QueryRow(ctx, whereSQL).Scan(&standby); err != nil || standby {
		t.Errorf("standby %v, %v", standby, err)
	}
	if _, err := tx.Exec(ctx, "update whole set v = 50 where id = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "insert into whole values (1, 1)"); state(err) != "23505" {
		t.Errorf("a duplicate: %v", err)
	}
	if _, err := tx.Exec(ctx, "select 1"); state(err) != "25P02" {
		t.Errorf("the block did not fail: %v", err)
	}
	tx.Rollback(ctx)
	w.exec(c, "begin", "commit", "begin", "rollback", "start transaction isolation level serializable", "update whole set v = 60 where id = 1", "commit")
	if v := get[int](w, c, "select v from whole where id = 1"); v != 60 {
		t.Errorf("%d, want 60", v)
	}
	if s := c.PgConn().TxStatus(); s != 'I' {
		t.Errorf("status %c", s)
	}
}

func TestPinnedSessions(t *testing.T) {
	w, c := fixture(t, "pinned")
	w.exec(c, "create temp table pinned (id int, v int)", "insert into pinned values (77, 77)")
	if v := get[int](w, c, "select id from pinned"); v != 77 {
		t.Errorf("the temporary table does not hide the other: %d", v)
	}
	w.exec(c, "discard all")
	if v := get[int](w, c, "select count(*) from pinned"); v != 10 {
		t.Errorf("after DISCARD ALL: %d rows", v)
	}
	ctx := t.Context()
	w.exec(c, "listen news")
	w.exec(w.connect(dsn(w.dub)), "notify news, 'extra'")
	n, err := c.WaitForNotification(ctx)
	if err != nil || n.Payload != "extra" {
		t.Errorf("notification %v, %v", n, err)
	}
	w.exec(c, "create sequence if not exists pinned_seq")
	a := get[int](w, c, "select nextval('pinned_seq')")
	if b := get[int](w, c, "select currval('pinned_seq')"); a != b {
		t.Errorf("nextval %d, currval %d", a, b)
	}
}

// TestPipelines mixes reads, writes and an error in one flight, in one group
// and in several.
func TestPipelines(t *testing.T) {
	w, c := fixture(t, "piped")
	ctx := t.Context()
	b := &pgx.Batch{}
	b.Queue("select count(*) from piped")
	b.Queue("update piped set v = $1 where id = 1", 5)
	b.Queue("select v from piped where id = 1")
	res := c.SendBatch(ctx, b)
	var n, v int
	if err := errors.Join(res.QueryRow().Scan(&n), func() error { _, err := res.Exec(); return err }(), res.QueryRow().Scan(&v), res.Close()); err != nil || n != 10 || v != 5 {
		t.Errorf("batch: %d, %d, %v", n, v, err)
	}

	p := c.PgConn().StartPipeline(ctx)
	text := func(sql string) { p.SendQueryParams(sql, nil, nil, nil, nil); p.SendPipelineSync() }
	text("select 1")
	text("insert into piped values (200, 0)")
	p.SendQueryParams("insert into piped values (200, 1)", nil, nil, nil, nil) // fails
	p.SendQueryParams("insert into piped values (201, 1)", nil, nil, nil, nil) // is passed over
	p.SendPipelineSync()
	text("select count(*) from piped")
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		r, err := p.GetResults()
		if err != nil {
			got = append(got, state(err))
			continue
		}
		switch r := r.(type) {
		case *pgconn.ResultReader:
			x := r.Read()
			if x.Err != nil {
				got = append(got, state(x.Err))
			} else {
				got = append(got, x.CommandTag.String())
			}
		case *pgconn.PipelineSync:
			got = append(got, "sync")
		}
		if r == nil {
			break
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if s := strings.Join(got, " "); s != "SELECT 1 sync INSERT 0 1 sync 23505 sync SELECT 1 sync" {
		t.Errorf("got %s", s)
	}
	if n := get[int](w, c, "select count(*) from piped"); n != 11 {
		t.Errorf("%d rows", n)
	}
}

// TestReplicaThatLagsInDefinitions asks for a table that the frozen replica
// has not heard of.
func TestReplicaThatLagsInDefinitions(t *testing.T) {
	w, c := fixture(t, "lagging")
	thaw := w.freeze()
	home := w.connect(dsn(w.iad))
	w.exec(home, "drop table if exists brand_new", "create table brand_new (v int)", "insert into brand_new values (1)")
	if v := get[int](w, c, "select v from brand_new"); v != 1 {
		t.Errorf("%d", v)
	}
	thaw()
}

func TestLargeRowsAndStatements(t *testing.T) {
	w, c := fixture(t, "large")
	big := strings.Repeat("x", 3<<20)
	if n := get[int](w, c, "select length($1)", big); n != len(big) {
		t.Errorf("%d", n)
	}
	if s := get[string](w, c, "select repeat('y', 3000000)"); len(s) != 3000000 {
		t.Errorf("%d", len(s))
	}
	rows, err := c.Query(t.Context(), "select g, repeat('z', 100) from generate_series(1, 20000) g")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if rows.Err() != nil || n != 20000 {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
	var deep pgx.Batch
	for range 2000 {
		deep.Queue("select repeat('q', 100)")
	}
	if err := c.SendBatch(t.Context(), &deep).Close(); err != nil {
		t.Errorf("a long pipeline of reads: %v", err)
	}
}
