package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type sum struct {
	A, B int
}

func (sum) Kind() string { return "sum" }

type summer struct {
	river.WorkerDefaults[sum]
	pool *pgxpool.Pool
	done chan int
}

func (w *summer) Work(ctx context.Context, job *river.Job[sum]) error {
	if job.Args.A < 0 {
		w.done <- 0
		return river.JobCancel(errMine)
	}
	if _, err := w.pool.Exec(ctx, "insert into sums values($1, $2)", job.ID, job.Args.A+job.Args.B); err != nil {
		return err
	}
	w.done <- job.Args.A + job.Args.B
	return nil
}

// riverAll works on what is inserted in and out of transactions, as it is told of by NOTIFY.
func riverAll(ctx context.Context, s *seen) {
	pool, err := pgxpool.New(ctx, s.dsn())
	s.done(err)
	defer pool.Close()
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	s.done(err)
	result, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	s.done(err)
	s.say(len(result.Versions))
	s.structure(ctx)
	_, err = pool.Exec(ctx, "create table sums(job bigint primary key, n int)")
	s.done(err)
	workers, done := river.NewWorkers(), make(chan int, 100)
	river.AddWorker(workers, &summer{pool: pool, done: done})
	// It asks by itself so seldom that only a notification wakes it.
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 5, FetchPollInterval: 10 * time.Minute}}, Workers: workers})
	s.done(err)
	s.done(client.Start(ctx))
	s.riverJobs(ctx, pool, client)
	total := 0
	for range 62 {
		select {
		case n := <-done:
			total += n
		case <-ctx.Done():
			s.must(false, "jobs are missing")
			return
		}
	}
	s.done(client.Stop(ctx))
	s.say(total)
	s.tell(ctx, "select count(*), sum(n) from sums")
	s.tell(ctx, "select state::text, count(*) from river_job group by 1 order by 1")
	result, err = m.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1})
	s.say(len(result.Versions), err)
}

func (s *seen) riverJobs(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx]) {
	for i := range 20 {
		_, err := client.Insert(ctx, sum{i, 1}, nil)
		s.done(err)
	}
	var many []river.InsertManyParams
	for i := range 40 {
		many = append(many, river.InsertManyParams{Args: sum{i, 2}})
	}
	_, err := client.InsertMany(ctx, many)
	s.done(err)
	for _, commit := range []bool{true, false} {
		tx, err := pool.Begin(ctx)
		s.done(err)
		_, err = client.InsertTx(ctx, tx, sum{100, 100}, nil)
		s.done(err)
		_, err = client.InsertTx(ctx, tx, sum{-1, 0}, &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}})
		s.done(err)
		again, err := client.InsertTx(ctx, tx, sum{-1, 0}, &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}})
		s.say(again != nil && again.UniqueSkippedAsDuplicate, err)
		if commit {
			s.done(tx.Commit(ctx))
		} else {
			s.done(tx.Rollback(ctx))
		}
	}
}

var riverCases = []test{{"river", riverAll}}
