package main

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	_ "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	_ "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	tern "github.com/jackc/tern/v2/migrate"
	sqlmigrate "github.com/rubenv/sql-migrate"
)

var steps = fstest.MapFS{
	"m/1_users.up.sql":   {Data: []byte("create table users(id serial primary key, name text not null); insert into users(name) values('a'), ('b');")},
	"m/1_users.down.sql": {Data: []byte("drop table users;")},
	"m/2_more.up.sql": {Data: []byte(`begin; alter table users add column n int default 3; create type mood as enum('sad', 'ok'); alter table users add m mood default 'ok';
		create or replace function f() returns int language plpgsql as $$ begin return (select sum(n) from users); end $$; insert into users(name, n) values('c', f()); commit;`)},
	"m/2_more.down.sql":  {Data: []byte("alter table users drop column n, drop column m; drop type mood; drop function f();")},
	"m/3_index.up.sql":   {Data: []byte("create index concurrently users_name on users(name);")},
	"m/3_index.down.sql": {Data: []byte("drop index concurrently users_name;")},
}

var brokenStep = fstest.MapFS{"m/4_broken.up.sql": {Data: []byte("create table half(i int); select 1/0;")}, "m/4_broken.down.sql": {Data: []byte("drop table half")}}

// stepper is golang-migrate by one of its drivers.
func (s *seen) stepper(scheme string, all ...fstest.MapFS) *migrate.Migrate {
	files := fstest.MapFS{}
	for _, some := range all {
		maps.Copy(files, some)
	}
	src, err := iofs.New(files, "m")
	s.done(err)
	m, err := migrate.NewWithSourceInstance("iofs", src, scheme+strings.TrimPrefix(s.dsn("x-lock-timeout", "60"), "postgres"))
	s.done(err)
	return m
}

func migrateAll(scheme string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		m := s.stepper(scheme, steps, brokenStep)
		defer m.Close()
		s.done(m.Migrate(3))
		s.structure(ctx)
		s.tell(ctx, "select id, name, n, m::text from users order by id")
		s.refused(m.Up())
		version, dirty, err := m.Version()
		s.say(version, dirty, err)
		s.refused(m.Up())
		s.done(m.Force(3))
		s.tell(ctx, "select to_regclass('half')::text, version, dirty from schema_migrations")
		s.done(m.Steps(-2))
		s.tell(ctx, "select * from users order by id")
		s.done(m.Steps(2))
		s.done(m.Down())
		_, _, err = m.Version()
		s.refused(err)
		s.done(m.Migrate(3))
		s.done(m.Drop())
		s.structure(ctx)
	}
}

func migrateTwice(ctx context.Context, s *seen) {
	// An index that is made concurrently waits for those who wait for the lock: it deadlocks, directly too.
	some := maps.Clone(steps)
	maps.DeleteFunc(some, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, "m/3") })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			m := s.stepper("pgx5", some)
			defer m.Close()
			if err := m.Up(); !errors.Is(err, migrate.ErrNoChange) {
				s.done(err)
			}
		})
	}
	all.Wait()
	s.tell(ctx, "select version, dirty from schema_migrations")
}

func ternAll(ctx context.Context, s *seen) {
	conn, err := pgx.Connect(ctx, s.dsn())
	s.done(err)
	defer conn.Close(ctx)
	m, err := tern.NewMigrator(ctx, conn, "schema_version")
	s.done(err)
	m.AppendMigration("users", string(steps["m/1_users.up.sql"].Data), string(steps["m/1_users.down.sql"].Data))
	m.AppendMigration("more", "alter table users add column n int default 3; insert into users(name) select 'x' from users", "alter table users drop column n")
	m.AppendMigration("index", "---- tern: disable-tx ----\ncreate index concurrently users_name on users(name);", "---- tern: disable-tx ----\ndrop index concurrently users_name;")
	m.Migrations = append(m.Migrations, &tern.Migration{Sequence: 4, Name: "in Go", UpFunc: func(ctx context.Context, c *pgx.Conn) error {
		var n int
		if err := c.QueryRow(ctx, "select count(*) from users").Scan(&n); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "insert into users(name, n) values('counted', $1)", n)
		return err
	}, DownFunc: func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "delete from users where name = 'counted'")
		return err
	}})
	s.done(m.Migrate(ctx))
	s.structure(ctx)
	s.tell(ctx, "select id, name, n from users order by id")
	m.AppendMigration("broken", "create table half(i int); select 1/0", "")
	s.refused(m.Migrate(ctx))
	v, err := m.GetCurrentVersion(ctx)
	s.say(v, err)
	s.done(m.MigrateTo(ctx, 1))
	s.tell(ctx, "select *, (select version from schema_version) from users order by 1")
	s.done(m.MigrateTo(ctx, 0))
	s.structure(ctx)
}

func ternTwice(ctx context.Context, s *seen) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			conn, err := pgx.Connect(ctx, s.dsn())
			s.done(err)
			defer conn.Close(ctx)
			m, err := tern.NewMigrator(ctx, conn, "schema_version")
			s.done(err)
			m.AppendMigration("users", string(steps["m/1_users.up.sql"].Data), "")
			m.AppendMigration("more", "insert into users(name) values('one more')", "")
			s.done(m.Migrate(ctx))
		})
	}
	all.Wait()
	s.tell(ctx, "select count(*) from users")
}

func sqlMigrateAll(driver string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		db := s.open(driver)
		defer db.Close()
		source := &sqlmigrate.MemoryMigrationSource{Migrations: []*sqlmigrate.Migration{
			{Id: "1", Up: []string{"create table users(id serial primary key, name text)", "insert into users(name) values('a')"}, Down: []string{"drop table users"}},
			{Id: "2", Up: []string{"alter table users add column n int default 3", "update users set n = n + 1"}, Down: []string{"alter table users drop column n"}},
			{Id: "3", Up: []string{"create index concurrently users_name on users(name)"}, Down: []string{"drop index concurrently users_name"}, DisableTransactionUp: true, DisableTransactionDown: true},
		}}
		n, err := sqlmigrate.ExecContext(ctx, db, "postgres", source, sqlmigrate.Up)
		s.say(n, err)
		s.structure(ctx)
		records, err := sqlmigrate.GetMigrationRecords(db, "postgres")
		s.say(len(records), err)
		source.Migrations = append(source.Migrations, &sqlmigrate.Migration{Id: "4", Up: []string{"create table half(i int)", "select 1/0"}})
		n, err = sqlmigrate.ExecContext(ctx, db, "postgres", source, sqlmigrate.Up)
		s.say(n, err)
		n, err = sqlmigrate.ExecMaxContext(ctx, db, "postgres", source, sqlmigrate.Down, 2)
		s.say(n, err)
		n, err = sqlmigrate.ExecContext(ctx, db, "postgres", source, sqlmigrate.Down)
		s.say(n, err)
		s.structure(ctx)
	}
}

var (
	golangMigrate = []test{{"golang-migrate on pgx", migrateAll("pgx5")}, {"golang-migrate on lib/pq", migrateAll("postgres")}, {"golang-migrate at once", migrateTwice}}
	ternCases     = []test{{"tern", ternAll}, {"tern at once", ternTwice}}
	sqlMigrate    = []test{{"sql-migrate on pgx", sqlMigrateAll("pgx")}, {"sql-migrate on lib/pq", sqlMigrateAll("postgres")}}
)
