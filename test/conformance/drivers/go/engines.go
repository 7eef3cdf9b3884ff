package main

import (
	"context"
	"time"

	"ariga.io/atlas/sql/migrate"
	atlas "ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	entschema "entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
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
