package main

import (
	"context"
	"fmt"
	"sync"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

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
