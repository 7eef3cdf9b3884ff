package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgxMode is what code that sqlc makes does, in one of pgx's modes.
func pgxMode(mode string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		pool, err := pgxpool.New(ctx, s.dsn("default_query_exec_mode", mode, "pool_max_conns", "4"))
		s.done(err)
		defer pool.Close()
		_, err = pool.Exec(ctx, "create type mood as enum('sad', 'ok')")
		s.done(err)
		_, err = pool.Exec(ctx, "create table authors(id bigserial primary key, name text not null, bio text, m mood not null default 'ok', tags text[] not null default '{}', n int)")
		s.done(err)
		var workers sync.WaitGroup
		for w := range 4 {
			workers.Go(func() {
				for i := range 20 {
					var id int64
					if err := pool.QueryRow(ctx, "-- name: CreateAuthor :one\ninsert into authors(name, n) values($1, $2) returning id", fmt.Sprint(w, ".", i), i).Scan(&id); err != nil {
						s.done(err)
						return
					}
					tag, err := pool.Exec(ctx, "-- name: UpdateAuthor :execrows\nupdate authors set n = n + 1, bio = coalesce($2, bio) where id = $1", id, nil)
					s.must(err == nil && tag.RowsAffected() == 1, "an update misses its row", err)
				}
			})
		}
		workers.Wait()
		var b pgx.Batch
		for i := range 10 {
			b.Queue("-- name: Add :batchone\ninsert into authors(name, tags) values($1, $2) returning name, m::text", fmt.Sprint("batch", i), []string{"a", "b"}).QueryRow(func(r pgx.Row) error {
				var name, mood string
				err := r.Scan(&name, &mood)
				s.say(name, mood)
				return err
			})
			b.Queue("select count(*) from authors").QueryRow(func(r pgx.Row) error { var n int; err := r.Scan(&n); s.say(n); return err })
		}
		s.done(pool.SendBatch(ctx, &b).Close())
		n, err := pool.CopyFrom(ctx, pgx.Identifier{"authors"}, []string{"name", "n"}, pgx.CopyFromSlice(50, func(i int) ([]any, error) { return []any{fmt.Sprint("copied", i), i}, nil }))
		s.say(n, err)
		rows, err := pool.Query(ctx, "-- name: List :many\nselect id, name, m, tags from authors where name = any($1::text[]) order by name", []string{"batch1", "copied1"})
		s.done(err)
		got, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) { v, err := r.Values(); return fmt.Sprint(v[1:]), err })
		s.say(got, err)
		s.pgxChanged(ctx, pool)
		s.tell(ctx, "select count(*), sum(n) from authors")
	}
}

// pgxChanged changes a table of which all connections have statements.
func (s *seen) pgxChanged(ctx context.Context, pool *pgxpool.Pool) {
	read := func() (string, error) {
		rows, err := pool.Query(ctx, "select * from authors where name = $1", "batch1")
		if err != nil {
			return "", err
		}
		all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) { v, err := r.Values(); return fmt.Sprint(v), err })
		return fmt.Sprint(all), err
	}
	for range 8 {
		_, err := read()
		s.done(err)
	}
	_, err := pool.Exec(ctx, "alter table authors add column more text default 'x', drop column bio")
	s.done(err)
	_, err = read()
	s.say("first:", err)
	for range 8 { // until every connection has heard it once
		_, err = read()
	}
	all, err := read()
	s.say(all, err)
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "update authors set n = 0 where name = $1", "batch1")
		s.done(err)
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into authors(id, name) values(1, $1)", "x")
			return err
		})
		s.refused(inner)
		return errMine
	})
	s.refused(err)
}

var pgxCases = []test{{"pgx cache_statement", pgxMode("cache_statement")}, {"pgx cache_describe", pgxMode("cache_describe")}, {"pgx describe_exec", pgxMode("describe_exec")}, {"pgx exec", pgxMode("exec")}, {"pgx simple_protocol", pgxMode("simple_protocol")}}
