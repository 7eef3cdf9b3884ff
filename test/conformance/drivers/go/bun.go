package main

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
	bunmigrate "github.com/uptrace/bun/migrate"
)

type bUser struct {
	bun.BaseModel `bun:"table:users,alias:u"`
	ID            int64    `bun:",pk,autoincrement"`
	Name          string   `bun:",notnull,unique"`
	N             int      `bun:",nullzero,default:3"`
	Tags          []string `bun:",array"`
	Meta          map[string]any
	Posts         []*bPost  `bun:"rel:has-many,join:id=user_id"`
	Deleted       time.Time `bun:",soft_delete,nullzero"`
}

type bPost struct {
	bun.BaseModel `bun:"table:posts,alias:p"`
	ID            int64  `bun:",pk,autoincrement"`
	UserID        int64  `bun:",notnull"`
	User          *bUser `bun:"rel:belongs-to,join:user_id=id"`
	Title         string
}

func bunOn(driver string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		var db *bun.DB
		if driver == "pgdriver" {
			db = bun.NewDB(sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(s.dsn()), pgdriver.WithConnParams(map[string]any{"search_path": s.schema}))), pgdialect.New())
		} else {
			db = bun.NewDB(s.open(driver), pgdialect.New())
		}
		defer db.Close()
		s.bunMigrations(ctx, db)
		for _, model := range []any{(*bUser)(nil), (*bPost)(nil)} {
			_, err := db.NewCreateTable().Model(model).IfNotExists().WithForeignKeys().Exec(ctx)
			s.done(err)
		}
		s.structure(ctx)
		users := make([]*bUser, 10)
		for i := range users {
			users[i] = &bUser{Name: fmt.Sprint("u", i), N: i, Tags: []string{"a", "it's"}, Meta: map[string]any{"k": i}}
		}
		_, err := db.NewInsert().Model(&users).Returning("id, n").Exec(ctx)
		s.say(users[0].ID, users[0].N, users[9].ID, err)
		posts := []bPost{{UserID: 1, Title: "one"}, {UserID: 1, Title: "two"}, {UserID: 2, Title: "three"}}
		_, err = db.NewInsert().Model(&posts).Exec(ctx)
		s.done(err)
		var got []bUser
		s.done(db.NewSelect().Model(&got).Relation("Posts").Order("u.id").Limit(2).Scan(ctx))
		for _, u := range got {
			s.say(u.Name, u.N, u.Tags, u.Meta, len(u.Posts))
		}
		_, err = db.NewInsert().Model(&bUser{Name: "u1", N: 77}).On("CONFLICT (name) DO UPDATE").Set("n = EXCLUDED.n").Exec(ctx)
		s.done(err)
		values := db.NewValues(&[]bUser{{ID: 3, N: 33}, {ID: 4, N: 44}})
		_, err = db.NewUpdate().With("_data", values).Model((*bUser)(nil)).TableExpr("_data").Set("n = _data.n").Where("u.id = _data.id").Exec(ctx)
		s.done(err)
		_, err = db.NewDelete().Model((*bUser)(nil)).Where("name = 'u5'").Exec(ctx)
		s.done(err)
		n, err := db.NewSelect().Model((*bUser)(nil)).Count(ctx)
		s.say(n, err)
		err = db.RunInTx(ctx, nil, func(ctx context.Context, t bun.Tx) error {
			_, err := t.NewInsert().Model(&bUser{Name: "gone"}).Exec(ctx)
			s.done(err)
			inner := t.RunInTx(ctx, nil, func(ctx context.Context, t bun.Tx) error {
				_, err := t.NewInsert().Model(&bUser{Name: "u1"}).Exec(ctx)
				return err
			})
			s.refused(inner)
			n, err := t.NewSelect().Model((*bUser)(nil)).Count(ctx)
			s.say(n, err)
			return errMine
		})
		s.refused(err)
		s.tell(ctx, "select id, name, n, deleted is null from users order by id")
	}
}

// bunMigrations applies some in groups, one of which fails.
func (s *seen) bunMigrations(ctx context.Context, db *bun.DB) {
	all := bunmigrate.NewMigrations()
	s.done(all.Discover(fstest.MapFS{
		"1_a.tx.up.sql":   {Data: []byte("create table made(i int);\n--bun:split\ninsert into made values(1);\n")},
		"1_a.tx.down.sql": {Data: []byte("drop table made;")},
		"2_b.up.sql":      {Data: []byte("set statement_timeout = '20s';\n--bun:split\ncreate index concurrently made_i on made(i);\n--bun:split\nreset statement_timeout;\n")},
		"2_b.down.sql":    {Data: []byte("drop index concurrently made_i;")},
	}))
	m := bunmigrate.NewMigrator(db, all, bunmigrate.WithMarkAppliedOnSuccess(true))
	s.done(m.Init(ctx))
	s.done(m.Lock(ctx))
	s.refused(m.Lock(ctx))
	group, err := m.Migrate(ctx)
	s.say(group, err)
	s.done(m.Unlock(ctx))
	group, err = m.Migrate(ctx)
	s.say(group, err)
	s.done(all.Discover(fstest.MapFS{"3_c.tx.up.sql": {Data: []byte("create table half(i int);\n--bun:split\nselect 1/0;\n")}}))
	group, err = m.Migrate(ctx)
	s.say(group, err)
	s.tell(ctx, "select to_regclass('half')::text, (select count(*) from bun_migrations)")
	group, err = m.Rollback(ctx)
	s.say(group, err)
}

var bunCases = []test{{"bun on pgdriver", bunOn("pgdriver")}, {"bun on pgx", bunOn("pgx")}, {"bun on lib/pq", bunOn("postgres")}}
