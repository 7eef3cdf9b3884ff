package pool_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/pgtest"
	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

var server *pgtest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if server, err = pgtest.Start("conduit"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Stop()
	return m.Run()
}

func newPool(t *testing.T, cfg pool.Config) *pool.Pool {
	cfg.Database = "conduit"
	p := pool.New(cfg, server.Dial)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func acquire(t *testing.T, p *pool.Pool, params ...wire.Param) *pool.Backend {
	t.Helper()
	b, err := p.Acquire(t.Context(), "me", "conduit", params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func one(t *testing.T, b *pool.Backend, sql string) string {
	t.Helper()
	rows, err := b.Run(sql)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%s: %v, %v", sql, rows, err)
	}
	return rows[0][0]
}

func TestWaitersAreServedInOrder(t *testing.T) {
	p := newPool(t, pool.Config{Max: 1})
	first := acquire(t, p)
	const n = 5
	order := make(chan int, n)
	release := make(chan struct{})
	for i := range n {
		go func() {
			b, err := p.Acquire(context.Background(), "me", "conduit", nil)
			if err != nil {
				order <- -1
				return
			}
			order <- i
			<-release
			b.Release(true)
		}()
		eventually(t, func() bool { return p.Stats().Queued == i+1 })
	}
	first.Release(true)
	for i := range n {
		if got := <-order; got != i {
			t.Errorf("place %d went to %d", i, got)
		}
		release <- struct{}{}
	}
	eventually(t, func() bool { return p.Stats().Open <= 1 })
}

func TestWhoWaitsTooLongIsToldWhy(t *testing.T) {
	p := newPool(t, pool.Config{Max: 1, Queue: 10 * time.Millisecond})
	b := acquire(t, p)
	if _, err := p.Acquire(t.Context(), "me", "conduit", nil); meridian.KindOf(err) != meridian.Throttled {
		t.Errorf("got %v", err)
	}
	b.Release(true)
	acquire(t, p).Release(true)
}

func TestWarmBackendIsAsNew(t *testing.T) {
	p := newPool(t, pool.Config{Max: 4})
	name := wire.Param{Name: "application_name", Value: "a"}
	b := acquire(t, p, name)
	pid := one(t, b, "select pg_backend_pid()")
	if _, err := b.Run("set work_mem = '1MB'", "create temp table x (v int)", "prepare s as select 1", "select pg_advisory_lock(1)"); err != nil {
		t.Fatal(err)
	}
	b.Release(true)
	b = acquire(t, p, name)
	if one(t, b, "select pg_backend_pid()") != pid {
		t.Fatal("the backend was not kept")
	}
	for sql, want := range map[string]string{
		"show work_mem": "4MB", "show application_name": "a", "select count(*) from pg_prepared_statements": "0",
		"select count(*) from pg_locks where locktype = 'advisory'": "0", "select coalesce(to_regclass('x')::text, 'none')": "none",
	} {
		if got := one(t, b, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	b.Release(true)
	other := acquire(t, p)
	if one(t, other, "select pg_backend_pid()") == pid {
		t.Error("a backend with other start-up parameters was reused")
	}
	other.Release(false)
}

func TestDeadWarmBackendIsNotHandedOut(t *testing.T) {
	p := newPool(t, pool.Config{Max: 1})
	b := acquire(t, p)
	pid := one(t, b, "select pg_backend_pid()")
	b.Release(true)
	if err := server.Exec("conduit", "select pg_terminate_backend("+pid+")"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		return server.Exec("conduit", "select 1 / (select (count(*) = 0)::int from pg_stat_activity where pid = "+pid+")") == nil
	})
	b = acquire(t, p)
	defer b.Release(true)
	if one(t, b, "select pg_backend_pid()") == pid {
		t.Error("a backend lives on after its end")
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("never")
		case <-tick.C:
		}
	}
}
