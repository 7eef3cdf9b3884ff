package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

func (s *seen) connect(ctx context.Context, more ...string) *pgx.Conn {
	c, err := pgx.Connect(ctx, s.dsn(more...))
	s.done(err)
	return c
}

// locksEnd takes locks of each kind by connections that end in each way. Another waits for them.
func locksEnd(ctx context.Context, s *seen) {
	_, err := s.admin.Exec(ctx, "create table t(i int primary key, n int default 0); insert into t values(1)")
	s.done(err)
	ends := map[string]func(*pgx.Conn){
		"a close":       func(c *pgx.Conn) { s.done(c.Close(ctx)) },
		"a broken line": func(c *pgx.Conn) { s.done(c.PgConn().Conn().Close()) },
		"amid a statement": func(c *pgx.Conn) {
			over, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err := c.Exec(over, "select pg_sleep(60)")
			s.must(err != nil, "the statement was not canceled")
			s.must(c.IsClosed(), "the connection is open")
		},
	}
	for _, how := range []string{"a close", "a broken line", "amid a statement"} {
		for _, lock := range []string{"select pg_advisory_lock(815)", "begin; select pg_advisory_xact_lock(815)", "begin; lock table t", "begin; select * from t where i = 1 for update", "begin; update t set n = n + 1"} {
			holder, waiter := s.connect(ctx), s.connect(ctx)
			_, err := holder.Exec(ctx, lock)
			s.done(err)
			got := make(chan error, 1)
			go func() { _, err := waiter.Exec(ctx, lock); got <- err }()
			ends[how](holder)
			s.say(how, lock, <-got)
			s.done(waiter.Close(ctx))
		}
	}
	s.tell(ctx, "select n from t")
}

// queueOfOnesOwn takes rows by SKIP LOCKED, as many services do, each with a connection of its own.
func queueOfOnesOwn(ctx context.Context, s *seen) {
	_, err := s.admin.Exec(ctx, "create table jobs(id serial primary key, state text default 'new', by int, tries int default 0); insert into jobs(state) select 'new' from generate_series(1, 120)")
	s.done(err)
	var workers sync.WaitGroup
	for w := range 6 {
		workers.Go(func() {
			c := s.connect(ctx)
			defer c.Close(ctx)
			for n := 0; ; n++ {
				var id int
				err := c.QueryRow(ctx, "update jobs set state = 'taken', by = $1, tries = tries + 1 where id = (select id from jobs where state = 'new' order by id for update skip locked limit 1) returning id", w).Scan(&id)
				if err == pgx.ErrNoRows {
					return
				}
				s.done(err)
				s.done(pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
					var by int
					if err := tx.QueryRow(ctx, "select by from jobs where id = $1 and state = 'taken'", id).Scan(&by); err != nil {
						return err
					}
					s.must(by == w, "a job is another's")
					_, err := tx.Exec(ctx, "update jobs set state = 'done' where id = $1", id)
					return err
				}))
				var state string
				s.done(c.QueryRow(ctx, "select state from jobs where id = $1", id).Scan(&state))
				s.must(state == "done", "its own job is", state)
			}
		})
	}
	workers.Wait()
	s.tell(ctx, "select state, tries, count(*) from jobs group by 1, 2")
}

// smallCaches drops statements all the time, and resets what a connection has as it goes back to its pool.
func smallCaches(ctx context.Context, s *seen) {
	cfg, err := pgxpool.ParseConfig(s.dsn("statement_cache_capacity", "2", "description_cache_capacity", "2", "pool_max_conns", "2"))
	s.done(err)
	n := 0
	cfg.AfterRelease = func(c *pgx.Conn) bool {
		if n++; n%5 == 0 {
			_, err := c.Exec(ctx, "discard all", pgx.QueryExecModeSimpleProtocol)
			s.done(err)
			s.done(c.DeallocateAll(ctx))
			_, err = c.Exec(ctx, "set search_path to "+s.schema, pgx.QueryExecModeSimpleProtocol)
			s.done(err)
		}
		return true
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	s.done(err)
	defer pool.Close()
	_, err = pool.Exec(ctx, "create table t(i int primary key, s text)")
	s.done(err)
	for i := range 40 {
		s.done(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "insert into t values($1, $2)", i, fmt.Sprint(i)); err != nil {
				return err
			}
			var got string
			if err := tx.QueryRow(ctx, fmt.Sprintf("select s, %d from t where i = $1", i%4), i).Scan(&got, nil); err != nil {
				return err
			}
			s.must(got == fmt.Sprint(i), "a row is another")
			sp, err := tx.Begin(ctx)
			s.done(err)
			_, err = sp.Exec(ctx, "insert into t values($1, 'twice')", i)
			s.must(err != nil, "it is there twice")
			return sp.Rollback(ctx)
		}))
	}
	s.tell(ctx, "select count(*), sum(i) from t")
}

// listeners hear what is notified in and out of blocks, in its order.
func listeners(ctx context.Context, s *seen) {
	l, c := s.connect(ctx), s.connect(ctx)
	defer l.Close(ctx)
	defer c.Close(ctx)
	_, err := l.Exec(ctx, `listen "a b"; listen c`)
	s.done(err)
	for _, q := range []string{"notify c, 'one'", "begin; notify c, 'two'; notify c, 'two'; select pg_notify('a b', 'three'); commit", "begin; notify c, 'lost'; rollback", "do $$begin perform pg_notify('c', 'four'); end$$",
		"create table t(i int); create function f() returns trigger language plpgsql as $$begin perform pg_notify('c', 'row ' || new.i); return new; end$$; create trigger tr after insert on t for each row execute function f()", "insert into t select g from generate_series(1, 3) g", "notify c, 'end'"} {
		_, err := c.Exec(ctx, q)
		s.done(err)
	}
	for n := (*pgconn.Notification)(nil); n == nil || n.Payload != "end"; {
		n, err = l.WaitForNotification(ctx)
		if err != nil {
			s.done(err)
			return
		}
		s.say(n.Channel, n.Payload)
	}
	_, err = l.Exec(ctx, "unlisten *")
	s.done(err)
}

var lockCases = []test{{"locks end with their connection", locksEnd}, {"a queue of one's own", queueOfOnesOwn}, {"small caches", smallCaches}, {"listeners", listeners}}
