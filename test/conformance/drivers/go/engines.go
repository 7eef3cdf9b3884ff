package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ariga.io/atlas/sql/migrate"
	atlas "ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	entschema "entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// entTables are what ent's generated code says of a schema.
func entTables(more bool) []*entschema.Table {
	id := func() *entschema.Column { return &entschema.Column{Name: "id", Type: field.TypeInt, Increment: true} }
	users := &entschema.Table{Name: "users", Columns: []*entschema.Column{id(), {Name: "name", Type: field.TypeString, Unique: true}, {Name: "age", Type: field.TypeInt, Nullable: true},
		{Name: "mood", Type: field.TypeEnum, Enums: []string{"sad", "ok"}, Default: "ok"}, {Name: "at", Type: field.TypeTime}}}
	if more {
		users.Columns = append(users.Columns, &entschema.Column{Name: "data", Type: field.TypeJSON, Nullable: true}, &entschema.Column{Name: "key", Type: field.TypeUUID, Nullable: true, Unique: true})
		users.Columns[2].Type = field.TypeInt64
	}
	users.PrimaryKey = users.Columns[:1]
	users.Indexes = []*entschema.Index{{Name: "user_age_name", Unique: more, Columns: []*entschema.Column{users.Columns[2], users.Columns[1]}}}
	pets := &entschema.Table{Name: "pets", Columns: []*entschema.Column{id(), {Name: "user_pets", Type: field.TypeInt, Nullable: true}}}
	pets.PrimaryKey = pets.Columns[:1]
	pets.ForeignKeys = []*entschema.ForeignKey{{Symbol: "pets_users_pets", Columns: pets.Columns[1:], RefColumns: users.Columns[:1], RefTable: users, OnDelete: entschema.SetNull}}
	return []*entschema.Table{users, pets}
}

func entAll(driver string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		db := s.open(driver)
		drv := entsql.OpenDB(dialect.Postgres, db)
		defer drv.Close()
		for _, more := range []bool{false, false, true, true} {
			m, err := entschema.NewMigrate(drv, entschema.WithDropColumn(true), entschema.WithDropIndex(true))
			s.done(err)
			s.done(m.Create(ctx, entTables(more)...))
			s.structure(ctx)
			_, err = db.ExecContext(ctx, "insert into users(name, age, at) select 'u' || count(*), count(*), now() from users")
			s.done(err)
			rows := &entsql.Rows{}
			query, args := entsql.Dialect(dialect.Postgres).Select("id", "name", "age").From(entsql.Table("users")).OrderBy("id").Query()
			s.done(drv.Query(ctx, query, args, rows))
			for rows.Next() {
				var id, age int
				var name string
				s.done(rows.Scan(&id, &name, &age))
				s.say(id, name, age)
			}
			s.done(rows.Close())
		}
		t, err := drv.Tx(ctx)
		s.done(err)
		query, args := entsql.Dialect(dialect.Postgres).Insert("users").Columns("name", "at").Values("tx", time.Unix(0, 0)).Returning("id").Query()
		rows := &entsql.Rows{}
		s.done(t.Query(ctx, query, args, rows))
		id, err := entsql.ScanInt(rows)
		s.say(id, err, rows.Close(), t.Rollback())
	}
}

func atlasAll(driver string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		db := s.open(driver)
		defer db.Close()
		drv, err := atlas.Open(db)
		s.done(err)
		unlock, err := drv.Lock(ctx, s.schema, time.Second)
		s.done(err)
		_, err = drv.Lock(ctx, s.schema, 50*time.Millisecond)
		s.refused(err)
		_, err = db.ExecContext(ctx, `create type mood as enum('sad', 'ok'); create table old(id serial primary key, name text unique, m mood default 'ok', check (id > 0)); create index on old(m) where id > 5;
			create table gone(id int references old(id))`)
		s.done(err)
		now, err := drv.InspectSchema(ctx, s.schema, nil)
		s.done(err)
		for _, t := range now.Tables {
			s.say(t.Name, len(t.Columns), len(t.Indexes), len(t.ForeignKeys), len(t.Attrs))
		}
		next, err := drv.InspectSchema(ctx, s.schema, nil)
		s.done(err)
		old, _ := next.Table("old")
		old.AddColumns(schema.NewNullIntColumn("n", "bigint"), schema.NewTimeColumn("at", "timestamptz").SetDefault(&schema.RawExpr{X: "now()"}))
		old.AddIndexes(schema.NewIndex("old_n").AddColumns(old.Columns[3]))
		next.Tables = []*schema.Table{old}
		changes, err := drv.SchemaDiff(now, next)
		s.done(err)
		s.done(drv.ApplyChanges(ctx, changes))
		s.structure(ctx)
		again, err := drv.InspectSchema(ctx, s.schema, nil)
		s.done(err)
		changes, err = drv.SchemaDiff(again, next)
		s.say(len(changes), err)
		plan, err := drv.PlanChanges(ctx, "drop", []schema.Change{&schema.DropTable{T: old}})
		s.done(err)
		for _, c := range plan.Changes {
			s.say(c.Cmd)
		}
		s.say(drv.(migrate.CleanChecker).CheckClean(ctx, nil))
		s.done(unlock())
		unlock, err = drv.Lock(ctx, s.schema, time.Second)
		s.done(err)
		s.done(unlock())
	}
}

var (
	entCases   = []test{{"ent on pgx", entAll("pgx")}, {"ent on lib/pq", entAll("postgres")}}
	atlasCases = []test{{"atlas on pgx", atlasAll("pgx")}, {"atlas on lib/pq", atlasAll("postgres")}}
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
