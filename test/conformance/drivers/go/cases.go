// The program drivers/go asks Go's tools of migration, its mappers and its queues
// what they see of a database, case by case.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// errMine is what a case itself says of a transaction that it leaves.
var errMine = errors.New("mine")

// A test is one case. It has a schema of its own, which is empty.
type test struct {
	name string
	run  func(context.Context, *seen)
}

// seen is what a case has seen, and its place.
type seen struct {
	schema string
	admin  *pgx.Conn // reads all that anybody committed
}

// passing is what is another thing in each run.
var passing = regexp.MustCompile(`127\.0\.0\.1:\d+|\d+(\.\d+)?(ns|µs|ms|s)\b|took [^ ]+|0x[0-9a-f]+|tuple \(\d+,\d+\)`)

func (s *seen) say(what ...any) {
	fmt.Println(passing.ReplaceAllString(strings.TrimSuffix(fmt.Sprintln(what...), "\n"), "_"))
}

// must says what no way may give.
func (s *seen) must(ok bool, what ...any) {
	if !ok {
		fmt.Print("!! ", fmt.Sprintln(what...))
	}
}

func (s *seen) done(err error, what ...any) { s.must(err == nil, append(what, err)...) }

// dsn names the schema as that where a connection works.
func (s *seen) dsn(more ...string) string {
	u, _ := url.Parse(os.Getenv("DATABASE_URL"))
	q := u.Query()
	q.Set("search_path", s.schema)
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // pgx takes a plus as it is
	return u.String()
}

func (s *seen) open(driver string) *sql.DB {
	db, err := sql.Open(driver, s.dsn())
	s.done(err)
	return db
}

// tell says what a query gives to who sees all commits, row by row.
func (s *seen) tell(ctx context.Context, query string, args ...any) {
	rows, err := s.admin.Query(ctx, query, args...)
	s.done(err)
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
	s.done(err)
	for _, r := range all {
		s.say(r...)
	}
}

// structure says what is in the schema.
func (s *seen) structure(ctx context.Context) {
	s.tell(ctx, `select table_name::text, column_name::text, data_type::text, is_nullable::text, coalesce(column_default::text, '') from information_schema.columns where table_schema = $1 order by 1, ordinal_position`, s.schema)
	s.tell(ctx, `select tablename::text, indexdef from pg_indexes where schemaname = $1 order by 1, 2`, s.schema)
	s.tell(ctx, `select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) from pg_constraint where connamespace = $1::regnamespace order by 1, 2`, s.schema)
}

func main() {
	only := regexp.MustCompile(strings.Join(os.Args[1:], "|"))
	for _, all := range [][]test{gooseCases, golangMigrate, ternCases, sqlMigrate, xormCases, bunCases, entCases, gormCases, atlasCases, riverCases, pgxCases, lockCases} {
		for _, t := range all {
			if only.MatchString(t.name) {
				t.do()
			}
		}
	}
}

func (t test) do() {
	fmt.Println("==", t.name)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s := &seen{schema: strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, t.name)}
	defer func() {
		if r := recover(); r != nil {
			fmt.Println("!!", r, strings.Join(strings.Split(string(debug.Stack()), "\n")[7:15], " | "))
		}
	}()
	var err error
	if s.admin, err = pgx.Connect(ctx, s.dsn("options", "-c meridian.consistency=global", "default_query_exec_mode", "exec")); err != nil {
		fmt.Println("!!", err)
		return
	}
	defer s.admin.Close(ctx)
	_, err = s.admin.Exec(ctx, fmt.Sprintf("drop schema if exists %[1]s cascade; create schema %[1]s", s.schema))
	s.done(err)
	t.run(ctx, s)
	s.done(ctx.Err())
}

// refused says an error, which must be one.
func (s *seen) refused(err error) {
	s.must(err != nil, "no error")
	s.say("refused:", err)
}
