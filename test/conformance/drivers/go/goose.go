package main

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"sync"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

var gooseFiles = fstest.MapFS{
	"00001_users.sql": {Data: []byte(`-- +goose Up
create table users(id bigserial primary key, name text not null unique, at timestamptz not null default now());
insert into users(name) select 'u' || g from generate_series(1, 20) g;
-- +goose Down
drop table users;`)},
	"00002_function.sql": {Data: []byte(`-- +goose Up
-- +goose StatementBegin
create function touch() returns trigger language plpgsql as $$
begin
  new.at = now();
  return new;
end$$;
-- +goose StatementEnd
create trigger touched before update on users for each row execute function touch();
alter table users add column mood text default 'ok';
update users set mood = 'sad' where id % 2 = 0;
-- +goose Down
drop trigger touched on users;
drop function touch();
alter table users drop column mood;`)},
	"00003_index.sql": {Data: []byte(`-- +goose NO TRANSACTION
-- +goose Up
create index concurrently users_mood on users(mood);
-- +goose Down
drop index concurrently users_mood;`)},
}

var gooseBroken = fstest.MapFS{"00005_broken.sql": {Data: []byte("-- +goose Up\ncreate table half(i int);\nselect 1/0;\n-- +goose Down\ndrop table half;")}}

// gooseGo are migrations that a program makes, of what the earlier ones left.
func gooseGo() *goose.Migration {
	up := func(ctx context.Context, tx *sql.Tx) error {
		var sad int
		if err := tx.QueryRowContext(ctx, "select count(*) from users where mood = 'sad'").Scan(&sad); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "create table moods as select mood, count(*) as n from users group by mood; ")
		if err == nil {
			_, err = tx.ExecContext(ctx, "insert into moods values('told', $1)", sad)
		}
		return err
	}
	down := func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "drop table moods")
		return err
	}
	return goose.NewGoMigration(4, &goose.GoFunc{RunTx: up}, &goose.GoFunc{RunDB: down})
}

func (s *seen) gooseProvider(db *sql.DB, more fstest.MapFS, options ...goose.ProviderOption) *goose.Provider {
	files := fstest.MapFS{}
	maps.Copy(files, gooseFiles)
	maps.Copy(files, more)
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, append(options, goose.WithGoMigrations(gooseGo()), goose.WithDisableGlobalRegistry(true))...)
	s.done(err)
	return p
}

func (s *seen) gooseResults(results []*goose.MigrationResult, err error) {
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		s.say("partial:", partial.Err)
	} else if err != nil {
		s.say(err)
	}
	for _, r := range results {
		s.say(r.Source.Version, r.Direction, r.Empty, r.Error)
	}
}

func gooseAll(driver string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		db := s.open(driver)
		defer db.Close()
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		s.done(err)
		p := s.gooseProvider(db, nil, goose.WithSessionLocker(locker))
		s.gooseResults(p.Up(ctx))
		s.structure(ctx)
		s.tell(ctx, "select * from moods order by 1")
		status, err := p.Status(ctx)
		s.done(err)
		for _, m := range status {
			s.say(m.Source.Version, m.State)
		}
		s.gooseResults(p.Up(ctx))
		s.gooseResults(s.gooseProvider(db, gooseBroken, goose.WithSessionLocker(locker)).Up(ctx))
		s.tell(ctx, "select to_regclass('half')::text, (select max(version_id) from goose_db_version)")
		v, err := p.GetDBVersion(ctx)
		s.say(v, err)
		s.gooseResults(p.DownTo(ctx, 1))
		s.gooseResults(p.UpTo(ctx, 3))
		s.gooseResults(p.DownTo(ctx, 0))
		s.structure(ctx)
	}
}

// gooseTwice starts several of them at once, of which each but the first finds nothing to do.
func gooseTwice(ctx context.Context, s *seen) {
	var all sync.WaitGroup
	applied := make([]int, 3)
	for i := range applied {
		all.Go(func() {
			db := s.open("pgx")
			defer db.Close()
			locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
			s.done(err)
			results, err := s.gooseProvider(db, nil, goose.WithSessionLocker(locker)).Up(ctx)
			s.done(err)
			applied[i] = len(results)
		})
	}
	all.Wait()
	s.say(applied[0] + applied[1] + applied[2])
	s.tell(ctx, "select version_id, count(*) from goose_db_version group by 1 order by 1")
}

// gooseTables locks by a row of a table.
func gooseTables(ctx context.Context, s *seen) {
	db := s.open("pgx")
	defer db.Close()
	locker, err := lock.NewPostgresTableLocker()
	s.done(err)
	p := s.gooseProvider(db, nil, goose.WithLocker(locker))
	s.gooseResults(p.Up(ctx))
	s.gooseResults(p.DownTo(ctx, 0))
}

var gooseCases = []test{
	{"goose on pgx", gooseAll("pgx")},
	{"goose on lib/pq", gooseAll("postgres")},
	{"goose at once", gooseTwice},
	{"goose with a table of locks", gooseTables},
}
