package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing/fstest"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
	bunmigrate "github.com/uptrace/bun/migrate"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"xorm.io/xorm"
)

var errMine = errors.New("mine")

type XUser struct {
	Id      int64  `xorm:"pk autoincr"`
	Name    string `xorm:"varchar(40) notnull unique"`
	N       int    `xorm:"index default 3"`
	Tags    []string
	Meta    map[string]any `xorm:"jsonb"`
	Version int            `xorm:"version"`
	Deleted time.Time      `xorm:"deleted"`
}

func (XUser) TableName() string { return "users" }

// XUserMore is the table with more columns, of which Sync makes them.
type XUserMore struct {
	XUser `xorm:"extends"`
	Mood  string `xorm:"varchar(10) default 'ok' index(mood_n)"`
	Count int64  `xorm:"index(mood_n)"`
}

func (XUserMore) TableName() string { return "users" }

func xormAll(driver string) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		db, err := xorm.NewEngine(driver, s.dsn())
		s.done(err)
		defer db.Close()
		db.SetSchema(s.schema)
		s.done(db.Sync(new(XUser)))
		s.done(db.Sync(new(XUser)))
		s.done(db.Sync(new(XUserMore)))
		s.structure(ctx)
		for i := range 20 {
			_, err := db.Insert(&XUserMore{XUser: XUser{Name: fmt.Sprint("u", i), N: i, Tags: []string{"a", "ä"}, Meta: map[string]any{"k": i}}})
			s.done(err)
			var got XUserMore
			found, err := db.Where("name = ?", fmt.Sprint("u", i)).Get(&got)
			s.must(found && err == nil && got.N == i, "a row is not seen", i, err)
		}
		var u XUser
		_, err = db.ID(3).Get(&u)
		s.say(u.Name, u.N, u.Tags, u.Meta, u.Version, err)
		stale := u
		u.N = 50
		n, err := db.ID(u.Id).Update(&u)
		s.say(n, err)
		stale.N = 60
		n, err = db.ID(stale.Id).Update(&stale)
		s.say(n, err, "by an old version")
		n, err = db.ID(4).Delete(new(XUser))
		s.say(n, err)
		n, err = db.Count(new(XUser))
		s.say(n, err)
		_, err = db.Insert(&XUser{Name: "u1"})
		s.refused(err)
		_, err = db.Transaction(func(t *xorm.Session) (any, error) {
			n, err := t.Insert(&XUser{Name: "gone"})
			s.say(n, err)
			found, err := t.Where("name = 'gone'").ForUpdate().Get(new(XUser))
			s.say(found, err)
			return nil, errMine
		})
		s.refused(err)
		sum, err := db.SumInt(new(XUser), "n")
		s.say(sum, err)
		s.done(db.Iterate(new(XUser), func(i int, bean any) error { s.say(i, bean.(*XUser).Name); return nil }))
		metas, err := db.DBMetas()
		s.done(err)
		for _, m := range metas {
			s.say(m.Name, m.ColumnsSeq(), len(m.Indexes))
		}
		s.done(db.DropTables(new(XUser)))
	}
}

var xormCases = []test{{"xorm on pgx", xormAll("pgx")}, {"xorm on lib/pq", xormAll("postgres")}}

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

type gUser struct {
	gorm.Model
	Name  string  `gorm:"size:40;not null;uniqueIndex"`
	N     int     `gorm:"default:3;check:small,n < 1000"`
	Posts []gPost `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
	Tags  []gTag  `gorm:"many2many:user_tags"`
}
type gPost struct {
	ID     uint
	UserID uint
	Title  string `gorm:"index:idx_title,where:title <> ''"`
}
type gTag struct {
	ID   uint
	Name string `gorm:"unique"`
}
type gUserMore struct {
	gUser
	Name string `gorm:"size:80;not null;uniqueIndex;comment:a name"`
	N    int64  `gorm:"default:4;check:small,n < 1000"`
	Mood string `gorm:"type:varchar(10);default:ok;index:,composite:mn"`
}

func (gUser) TableName() string     { return "users" }
func (gUserMore) TableName() string { return "users" }
func (gPost) TableName() string     { return "posts" }
func (gTag) TableName() string      { return "tags" }

func gormAll(simple, prepare bool) func(context.Context, *seen) {
	return func(ctx context.Context, s *seen) {
		db, err := gorm.Open(postgres.New(postgres.Config{DSN: s.dsn(), PreferSimpleProtocol: simple}), &gorm.Config{PrepareStmt: prepare, Logger: logger.Discard, TranslateError: true})
		s.done(err)
		pool, err := db.DB()
		s.done(err)
		defer pool.Close()
		s.done(db.AutoMigrate(&gUser{}, &gPost{}, &gTag{}))
		s.done(db.AutoMigrate(&gUser{}, &gPost{}, &gTag{}))
		s.done(db.Create(&gUser{Name: "before", Posts: []gPost{{Title: "one"}}, Tags: []gTag{{Name: "t"}}}).Error)
		var before gUser
		s.done(db.First(&before, "name = ?", "before").Error)
		s.done(db.AutoMigrate(&gUserMore{}))
		s.structure(ctx)
		var mores []gUserMore
		s.done(db.Find(&mores).Error)
		for _, u := range mores {
			s.say(u.ID, u.Name, u.N, u.Mood)
		}
		s.gormRows(ctx, db)
		s.gormTransactions(ctx, db)
		s.say(db.Migrator().HasColumn(&gUser{}, "mood"), db.Migrator().HasIndex(&gPost{}, "idx_title"), db.Migrator().HasConstraint(&gUser{}, "small"))
		s.done(db.Migrator().RenameColumn(&gUser{}, "mood", "temper"))
		s.done(db.Migrator().DropColumn(&gUser{}, "temper"))
		s.done(db.Find(&mores).Error)
		s.say(len(mores))
		types, err := db.Migrator().ColumnTypes(&gUser{})
		s.done(err)
		for _, c := range types {
			length, has := c.Length()
			s.say(c.Name(), c.DatabaseTypeName(), length, has)
		}
		s.done(db.Migrator().DropTable("user_tags", &gPost{}, &gTag{}, &gUser{}))
		s.structure(ctx)
	}
}

func (s *seen) gormRows(ctx context.Context, db *gorm.DB) {
	users := make([]gUser, 30)
	for i := range users {
		users[i] = gUser{Name: fmt.Sprint("u", i), N: i + 1, Posts: []gPost{{Title: fmt.Sprint("p", i)}}}
	}
	s.done(db.CreateInBatches(&users, 7).Error)
	var got []gUser
	s.done(db.Preload("Posts").Preload("Tags").Order("id").Limit(3).Find(&got).Error)
	for _, u := range got {
		s.say(u.ID, u.Name, u.N, len(u.Posts), len(u.Tags))
	}
	s.done(db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.AssignmentColumns([]string{"n"})}).Create(&gUser{Name: "u3", N: 99}).Error)
	var found gUser
	s.done(db.Where(gUser{Name: "found"}).Attrs(gUser{N: 9}).FirstOrCreate(&found).Error)
	s.done(db.Where(gUser{Name: "found"}).Assign(gUser{N: 10}).FirstOrCreate(&found).Error)
	s.done(db.Model(&gUser{}).Where("n > ?", 20).Update("n", gorm.Expr("n + ?", 1)).Error)
	s.done(db.Model(&found).Association("Tags").Append(&gTag{Name: "new"}))
	s.say(db.Model(&found).Association("Tags").Count())
	s.done(db.Delete(&gUser{}, "name = ?", "u4").Error)
	s.refused(db.Create(&gUser{Name: "u1"}).Error)
	s.refused(db.Create(&gUser{Name: "big", N: 5000}).Error)
	var all []gUser
	s.say(db.FindInBatches(&all, 10, func(t *gorm.DB, batch int) error { s.say(batch, len(all)); return nil }).Error)
	s.tell(ctx, "select id, name, n, deleted_at is null from users order by id")
}

func (s *seen) gormTransactions(ctx context.Context, db *gorm.DB) {
	s.refused(db.Transaction(func(t *gorm.DB) error {
		s.done(t.Create(&gUser{Name: "gone"}).Error)
		s.refused(t.Transaction(func(t *gorm.DB) error { return t.Create(&gUser{Name: "u1"}).Error }))
		var locked gUser
		s.done(t.Clauses(clause.Locking{Strength: "UPDATE"}).First(&locked, "name = 'gone'").Error)
		var free []gUser
		s.done(db.Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).Limit(2).Order("id").Find(&free).Error)
		s.say(locked.Name, len(free))
		return errMine
	}))
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 5 {
				s.done(db.Transaction(func(t *gorm.DB) error {
					var u gUser
					if err := t.Clauses(clause.Locking{Strength: "UPDATE"}).First(&u, "name = 'u2'").Error; err != nil {
						return err
					}
					return t.Model(&u).Update("n", u.N+1).Error
				}))
			}
		})
	}
	all.Wait()
	s.tell(ctx, "select n from users where name = 'u2'")
}

var gormCases = []test{{"gorm", gormAll(false, false)}, {"gorm prepared", gormAll(false, true)}, {"gorm simple", gormAll(true, false)}}
