package main

import (
	"context"
	"fmt"
	"time"

	"xorm.io/xorm"
)

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
