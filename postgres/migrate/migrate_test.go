package migrate

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/instance"
	"meridian/postgres/pgtest"
)

const patience = 60 * time.Second

// primary runs a PostgreSQL for the test and returns how to connect to it as
// the application's role.
func primary(t *testing.T) func(context.Context) (*pgx.Conn, error) {
	t.Helper()
	dir := pgtest.Folder(t)
	in, err := instance.New(instance.Config{
		Region: "us-east-1", Dir: filepath.Join(dir, "d"), SocketDir: filepath.Join(dir, "s"), Database: "conduit", SharedBuffers: "8MB",
	}, instance.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- in.Run(ctx, instance.Primary, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("PostgreSQL is not ready")
	}
	cfg, err := pgx.ParseConfig("host=x user=conduit dbname=conduit sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return in.Dial(ctx) }
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"x"}, nil }
	return func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, cfg) }
}

func files(nameAndSQL ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for pair := range slices.Chunk(nameAndSQL, 2) {
		m[pair[0]] = &fstest.MapFile{Data: []byte(pair[1])}
	}
	return m
}

func query(t *testing.T, connect func(context.Context) (*pgx.Conn, error), sql string) (got string) {
	t.Helper()
	conn, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func TestApply(t *testing.T) {
	connect := primary(t)
	const (
		one   = "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\n"
		two   = "ALTER TABLE a ADD m int; INSERT INTO a VALUES (2, 2);"
		three = "CREATE TABLE b (n int);"
	)
	apply := func(want []string, dir fstest.MapFS) {
		t.Helper()
		got, err := Apply(t.Context(), connect, dir)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("applied %v, %v; want %v", got, err, want)
		}
	}
	refused := func(want string, dir fstest.MapFS) {
		t.Helper()
		got, err := Apply(t.Context(), connect, dir)
		if err == nil || !strings.Contains(err.Error(), want) || len(got) != 0 {
			t.Fatalf("applied %v, %v; want an error with %q", got, err, want)
		}
		if meridian.KindOf(err) != meridian.Invalid {
			t.Errorf("%v is of kind %q", err, meridian.KindOf(err))
		}
	}

	apply([]string{"001.sql", "002.sql"}, files("002.sql", two, "001.sql", one, "README.md", "no SQL"))
	apply(nil, files("001.sql", one, "002.sql", two))
	apply([]string{"003.sql"}, files("003.sql", three)) // the others are gone
	if got := query(t, connect, "SELECT count(*)::text FROM a"); got != "2" {
		t.Errorf("a has %s rows, want 2", got)
	}
	if got := query(t, connect, "SELECT tableowner FROM pg_tables WHERE tablename = 'b'"); got != "conduit" {
		t.Errorf("b belongs to %s", got)
	}

	refused("001.sql was changed", files("001.sql", one+" ", "009.sql", three))
	refused(`004.sql:2: syntax error at or near "TABEL"`, files("004.sql", "CREATE TABLE c (n int);\nCREATE TABEL d (n int);"))
	refused(`004.sql:3: relation "b" already exists`, files("004.sql", "CREATE TABLE c (n int);\n\nCREATE TABLE b (n int);"))
	refused("004.sql:1: the file ends the transaction", files("004.sql", "SELECT 1; COMMIT"))
	if got := query(t, connect, "SELECT count(*)::text FROM pg_tables WHERE tablename IN ('c', 'd')"); got != "0" {
		t.Error("a file that failed left something behind")
	}
	if got := query(t, connect, "SELECT string_agg(name, ' ' ORDER BY name) FROM meridian.migrations"); got != "001.sql 002.sql 003.sql" {
		t.Errorf("recorded: %s", got)
	}
}

func TestTwoAtATimeApplyOnce(t *testing.T) {
	connect := primary(t)
	var all sync.WaitGroup
	counts := make(chan int, 4)
	for range cap(counts) {
		all.Go(func() {
			got, err := Apply(context.Background(), connect, files("1.sql", "CREATE TABLE a (n int)", "2.sql", "CREATE TABLE b (n int)"))
			if err != nil {
				t.Error(err)
			}
			counts <- len(got)
		})
	}
	all.Wait()
	close(counts)
	sum := 0
	for n := range counts {
		sum += n
	}
	if sum != 2 {
		t.Errorf("%d files were applied, want 2", sum)
	}
}
