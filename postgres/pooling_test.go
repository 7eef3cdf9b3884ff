package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestManyClientsShareFewServerConnections: each has a prepared statement, a
// setting and open transactions of its own, in both regions.
func TestManyClientsShareFewServerConnections(t *testing.T) {
	const few, many = 4, 24
	pooled := func(c *Config, _ *Deps) {
		c.TransactionPooling, c.MaxServer, c.QueueTimeout = true, few, 20*time.Second
	}
	w := newWorld(t, pooled)
	w.exec(w.connect(dsn(w.iad)), "drop table if exists shared", "create table shared (id int primary key, v int)")
	for i, p := range []*Proxy{w.iad, w.dub} {
		var conns []*pgx.Conn
		for range many {
			conns = append(conns, w.connect(dsn(p)))
		}
		errs := make(chan error, many)
		var all sync.WaitGroup
		for n, c := range conns {
			all.Go(func() { errs <- everything(t, c, i*many+n) })
		}
		all.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		if open := p.pool.Stats().Open; open > few {
			t.Errorf("%d server connections", open)
		}
	}
	// Control: a session that keeps its backend leaves none for others.
	w = newWorld(t, func(c *Config, _ *Deps) { c.MaxServer, c.QueueTimeout = few, 100*time.Millisecond })
	var err error
	for i := 0; i < many && err == nil; i++ {
		var c *pgx.Conn
		if c, err = pgx.Connect(t.Context(), dsn(w.iad)); err == nil {
			defer c.Close(t.Context())
		}
	}
	if state(err) != "53300" {
		t.Errorf("the control, session pooling: %v", err)
	}
}

// everything uses all that a session has, across transactions.
func everything(t *testing.T, c *pgx.Conn, n int) error {
	ctx := t.Context()
	if _, err := c.Exec(ctx, fmt.Sprintf("set app.number = '%d'", n)); err != nil {
		return err
	}
	if _, err := c.Prepare(ctx, "mine", fmt.Sprintf("select v + %d from shared where id = $1", n)); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, fmt.Sprintf("prepare theirs as select %d", n)); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "insert into shared values ($1, 0)", n); err != nil {
		return err
	}
	for round := 1; round <= 5; round++ {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update shared set v = v + 1 where id = $1", n); err != nil {
			return err
		}
		var own string
		var theirs, v int
		err = errors.Join(tx.QueryRow(ctx, "show app.number", pgx.QueryExecModeSimpleProtocol).Scan(&own),
			tx.QueryRow(ctx, "execute theirs", pgx.QueryExecModeSimpleProtocol).Scan(&theirs), tx.Commit(ctx))
		if err != nil {
			return err
		}
		if err := c.QueryRow(ctx, "mine", n).Scan(&v); err != nil {
			return err
		}
		if own != fmt.Sprint(n) || theirs != n || v != n+round {
			return fmt.Errorf("client %d sees %s, %d, %d", n, own, theirs, v)
		}
	}
	_, err := c.Exec(ctx, "deallocate theirs")
	return err
}

// TestNothingOfAClientIsLeftForTheNext has one server connection for all.
func TestNothingOfAClientIsLeftForTheNext(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.TransactionPooling, c.MaxServer = true, 1 })
	a, b := w.connect(dsn(w.iad)), w.connect(dsn(w.iad))
	w.exec(a, "drop table if exists left_behind", "create table left_behind (v int)", "set work_mem = '1MB'", "prepare p as select 1", "insert into left_behind values (1)")
	if got := get[string](w, b, "show work_mem"); got == "1MB" {
		t.Error("another client's setting")
	}
	if _, err := b.Exec(t.Context(), "execute p"); state(err) != "26000" {
		t.Errorf("another client's statement: %v", err)
	}
	if got := get[string](w, a, "show work_mem"); got != "1MB" {
		t.Errorf("its own setting is lost: %s", got)
	}
	// What only one server has keeps it: the other client waits.
	w.exec(a, "create temp table mine (v int)", "insert into mine values (1)")
	if n := get[int](w, a, "select count(*) from mine"); n != 1 {
		t.Errorf("%d rows in the temporary table", n)
	}
	w.exec(a, "discard all")
	if n := get[int](w, b, "select 1"); n != 1 {
		t.Error("no answer")
	}
}

// TestLazyBlocksReadHereUntilTheyWrite looks where each statement of a block runs.
func TestLazyBlocksReadHereUntilTheyWrite(t *testing.T) {
	w, c := fixture(t, "lazy")
	here := func(tx pgx.Tx) bool {
		t.Helper()
		var standby bool
		if err := tx.QueryRow(t.Context(), whereSQL).Scan(&standby); err != nil {
			t.Fatal(err)
		}
		return standby
	}
	begin := func(o pgx.TxOptions) pgx.Tx {
		t.Helper()
		tx, err := c.BeginTx(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	do := func(tx pgx.Tx, sql string, want string) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql); state(err) != want && (err != nil || want != "") {
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
	// Control: without the setting a block runs on the primary as a whole.
	tx := begin(pgx.TxOptions{})
	if here(tx) {
		t.Error("the control read on the standby")
	}
	tx.Rollback(t.Context())

	w.exec(c, "set meridian.transactions = lazy")
	tx = begin(pgx.TxOptions{})
	for range 2 {
		if !here(tx) {
			t.Error("a read before the first write went to the primary")
		}
	}
	do(tx, "update lazy set v = 50 where id = 1", "")
	if here(tx) {
		t.Error("a read after the first write ran on the standby")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := get[int](w, c, "select v from lazy where id = 1"); v != 50 {
		t.Errorf("the write is lost: %d", v)
	}
	for _, sql := range []string{"savepoint a", "declare x cursor for select 1", "set local work_mem = '1MB'", "select v from lazy where id = 1 for update"} {
		tx = begin(pgx.TxOptions{})
		here(tx)
		do(tx, sql, "")
		if here(tx) {
			t.Errorf("after %s the block is on the standby", sql)
		}
		tx.Rollback(t.Context())
	}
	tx = begin(pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if here(tx) {
		t.Error("a REPEATABLE READ block is lazy")
	}
	tx.Rollback(t.Context())
	// A block that failed on the standby has failed, whatever comes.
	tx = begin(pgx.TxOptions{})
	do(tx, "select 1 / 0", "22012")
	do(tx, "update lazy set v = 60 where id = 1", "25P02")
	tx.Rollback(t.Context())
	if v := get[int](w, c, "select v from lazy where id = 1"); v != 50 {
		t.Errorf("a failed block wrote: %d", v)
	}
	if _, err := c.Exec(t.Context(), "set meridian.transactions = sometimes"); state(err) != "22023" {
		t.Errorf("a value that is none: %v", err)
	}
}

// TestABusyFunctionDoesNotKeepAnotherOut lets sixteen sessions of one function
// write without a pause through one server connection, and one of another
// function now and then. Control: first come, first served, it waits for all
// of them each time.
func TestABusyFunctionDoesNotKeepAnotherOut(t *testing.T) {
	const busy, writes = 16, 5
	for name, p := range map[string]func(*world) *Proxy{"here": func(w *world) *Proxy { return w.iad }, "from a secondary": func(w *world) *Proxy { return w.dub }} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config, _ *Deps) { c.TransactionPooling, c.MaxServer, c.QueueTimeout = true, 1, time.Minute })
			w.exec(w.connect(dsn(w.iad)), "drop table if exists turns", "create table turns (v int)", "grant all on turns to public")
			others := make([]*pgx.Conn, busy)
			for i := range others {
				others[i] = w.attach(p(w), fmt.Sprintf("busy-%d-%d", i, i))
			}
			quiet := w.attach(p(w), "quiet-1-1")
			passed := func() (n int64) { // of the busy one, while the other writes
				var stop atomic.Bool
				var count atomic.Int64
				var all sync.WaitGroup
				for _, c := range others {
					all.Go(func() {
						for !stop.Load() {
							if _, err := c.Exec(context.Background(), "insert into turns values (1)"); err != nil {
								t.Error(err)
								return
							}
							count.Add(1)
						}
					})
				}
				w.eventually("they queue", func() bool { return w.iad.pool.Stats().Queued >= busy/2 })
				before := count.Load()
				for range writes {
					w.exec(quiet, "insert into turns values (2)")
				}
				n = count.Load() - before
				stop.Store(true)
				all.Wait()
				return n
			}
			// What passes while the quiet client itself is slow counts, too: one try must show it.
			w.eventually("the quiet function gets its turns", func() bool { return passed() <= 4*writes })
			w.iad.pool.FirstComeFirstServed()
			// On a busy machine not all of them queue each time: here, too, one try must show it.
			w.eventually("the control: first come, first served, the busy one goes first", func() bool { return passed() >= writes*busy/2 })
		})
	}
}

// TestATransactionThatGetsNoConnectionFailsAlone holds the one server connection
// for longer than the queue allows.
func TestATransactionThatGetsNoConnectionFailsAlone(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) {
		if c.TransactionPooling = true; c.Region == iad {
			c.MaxServer, c.QueueTimeout = 1, 100*time.Millisecond
		}
	})
	w.exec(w.connect(dsn(w.iad)), "drop table if exists queued", "create table queued (v int)")
	holder := w.connect(dsn(w.iad))
	waiters := []*pgx.Conn{w.connect(dsn(w.iad)), w.connect(dsn(w.dub))}
	for _, c := range waiters {
		w.exec(c, "set app.mine = 'kept'", "insert into queued values (0)")
	}
	w.exec(holder, "begin", "insert into queued values (1)")
	for i, c := range waiters {
		if _, err := c.Exec(t.Context(), "insert into queued values (2)"); state(err) != "53300" || c.IsClosed() {
			t.Errorf("waiter %d: %v", i, err)
		}
	}
	w.exec(holder, "commit")
	for _, c := range waiters {
		w.exec(c, "insert into queued values (3)")
		if got := get[string](w, c, "select current_setting('app.mine') from queued limit 1"); got != "kept" {
			t.Errorf("its setting is %q", got)
		}
	}
	if n := get[int](w, holder, "select count(*) from queued where v = 2"); n > 0 {
		t.Errorf("%d refused writes were done", n)
	}
}
