// Package foreign runs a world on a PostgreSQL that somebody else runs: a
// primary and a streaming standby made by hand, with passwords, on TCP.
package foreign_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/proc"
	"meridian/postgres/instance"
	"meridian/test/harness"
)

// word is the password of the stranger's roles.
const word = "correct horse"

// A server is one PostgreSQL of the stranger's.
type server struct {
	t    *testing.T
	data string
	port int
	proc *proc.Process
}

// TestMeridianFollowsAPostgreSQLThatSomebodyElseRuns writes at the standby's
// region, and reads it there. Then the stranger stops its primary and promotes
// its standby: Meridian follows without being told. Before that nobody takes
// writes, which is the control: Meridian promotes nothing by itself.
func TestMeridianFollowsAPostgreSQLThatSomebodyElseRuns(t *testing.T) {
	dir := harness.Folder(t)
	a := &server{t: t, data: filepath.Join(dir, "a"), port: freePort(t)}
	b := &server{t: t, data: filepath.Join(dir, "b"), port: freePort(t)}
	found(a)
	a.start()
	a.sql("CREATE ROLE app LOGIN PASSWORD '" + word + "'")
	a.sql("GRANT pg_monitor TO app")
	a.sql("CREATE ROLE rep LOGIN REPLICATION PASSWORD '" + word + "'")
	a.sql("CREATE DATABASE hello OWNER app")
	a.tool("pg_basebackup", "-D", b.data, "-R", "-X", "stream", "-c", "fast", "-d", fmt.Sprintf("host=127.0.0.1 port=%d user=rep password='%s'", a.port, word))
	b.start()

	w := harness.Up(t, a.file(dir, b), filepath.Join(dir, "world"))
	s := w.Status()
	if !s.Regions[0].Primary || s.Regions[1].Primary {
		t.Fatalf("the primary is not where the stranger has it: %+v", s.Regions)
	}
	near := open(t, s.Regions[1].Postgres)
	near.must("CREATE TABLE t (n int)")
	if got := near.must("INSERT INTO t VALUES (1)", "SELECT count(*) FROM t"); got != "1" {
		t.Errorf("its own write, read at the standby: %s rows", got)
	}
	for _, command := range [][]string{{"switchover", "--yes", "eu-west-1"}, {"failover", "--yes", "eu-west-1"}, {"durability", "--yes", "quorum"}, {"lost-writes"}} {
		if _, err := w.Try(time.Minute, command...); err == nil || !strings.Contains(err.Error(), "somebody else runs this world's PostgreSQL") {
			t.Errorf("%s of a stranger's: %v", command[0], err)
		}
	}

	a.stop()
	harness.Eventually(t, 20*time.Second, func() error {
		if _, err := open(t, s.Regions[1].Postgres).try("INSERT INTO t VALUES (2)"); err == nil {
			return fmt.Errorf("without a primary a write is taken")
		}
		return nil
	})
	b.tool("pg_ctl", "promote", "-D", b.data)
	harness.Eventually(t, 30*time.Second, func() error {
		_, err := open(t, s.Regions[1].Postgres).try("INSERT INTO t VALUES (3)")
		return err
	})
	harness.Eventually(t, 20*time.Second, func() error { // the region whose own PostgreSQL is down
		got, err := open(t, s.Regions[0].Postgres).try("SELECT array_agg(n ORDER BY n) FROM t")
		if err == nil && got != "{1,3}" {
			err = fmt.Errorf("read %s", got)
		}
		return err
	})
	if s := w.Status(); s.Regions[0].Primary || !s.Regions[1].Primary {
		t.Errorf("the primary is not where the stranger has it: %+v", s.Regions)
	}
}

// file writes the world's file, and beside it the DSNs.
func (a *server) file(dir string, b *server) string {
	example := filepath.Join(harness.Root(a.t), "examples/hello")
	text := fmt.Sprintf("domain: api.example.test\nregions: {us-east-1: {primary: true}, eu-west-1: {}}\napi: %s/openapi.yaml\n"+
		"functions: {hello: {go: %s/functions/hello}}\ndatabase:\n  name: hello\n  servers:\n    us-east-1: {dsn: us.dsn}\n    eu-west-1: {dsn: eu.dsn}\n", example, example)
	for name, content := range map[string]string{"us.dsn": a.dsn(), "eu.dsn": b.dsn(), "meridian.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	rel, err := filepath.Rel(harness.Root(a.t), filepath.Join(dir, "meridian.yaml"))
	if err != nil {
		a.t.Fatal(err)
	}
	return rel
}

func (s *server) dsn() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=app password='%s' dbname=hello sslmode=disable\n", s.port, word)
}

// found makes a cluster as a stranger would.
func found(a *server) {
	a.tool("initdb", "-D", a.data, "-U", "postgres", "--auth-local", "trust", "--auth-host", "scram-sha-256", "--locale", "C.UTF-8", "-E", "UTF8")
	hba := "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(a.data, "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// account is the user that PostgreSQL's programs run as.
func account(t *testing.T) (uid, gid int) {
	if os.Getuid() != 0 {
		return 0, 0
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

func (s *server) command(name string, args ...string) proc.Cmd {
	bin, err := instance.Find()
	if err != nil {
		s.t.Fatal(err)
	}
	uid, gid := account(s.t)
	if _, err := os.Stat(s.data); err != nil { // whoever runs it must own it
		if err := os.Mkdir(s.data, 0o700); err != nil {
			s.t.Fatal(err)
		}
		if uid != 0 {
			if err := os.Chown(s.data, uid, gid); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return proc.Cmd{Path: filepath.Join(bin.Dir, name), Args: args, Env: []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}, Dir: "/", UID: uid, GID: gid}
}

func (s *server) tool(name string, args ...string) {
	s.t.Helper()
	said, err := os.Create(filepath.Join(filepath.Dir(s.data), name+".out"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer said.Close()
	cmd := s.command(name, args...)
	if name == "pg_basebackup" { // the data is another server's
		os.MkdirAll(args[1], 0o700)
		os.Chown(args[1], cmd.UID, cmd.GID)
	}
	cmd.Stdout, cmd.Stderr = said, said
	p, err := proc.Start(cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		out, _ := os.ReadFile(said.Name())
		s.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (s *server) start() {
	s.t.Helper()
	said, err := os.Create(s.data + ".log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer said.Close()
	cmd := s.command("postgres", "-D", s.data, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+s.data, "-c", "shared_buffers=8MB")
	cmd.Stdout, cmd.Stderr = said, said
	if s.proc, err = proc.Start(cmd); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
	harness.Eventually(s.t, 30*time.Second, func() error {
		c, err := s.connect()
		if err == nil {
			c.Close(s.t.Context())
		}
		return err
	})
}

func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.proc.Stop(ctx, syscall.SIGINT)
}

func (s *server) connect() (*pgx.Conn, error) {
	return pgx.Connect(s.t.Context(), fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", s.data, s.port))
}

func (s *server) sql(text string) {
	s.t.Helper()
	c, err := s.connect()
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close(s.t.Context())
	if _, err := c.Exec(s.t.Context(), text); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// freePort returns a port that nobody has at this moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A session is a client of a region's proxy.
type session struct {
	t   *testing.T
	dsn string
}

func open(t *testing.T, dsn string) session { return session{t, dsn} }

// try runs statements on one connection, and returns the last one's value.
func (s session) try(statements ...string) (out string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.dsn+"?sslmode=disable")
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	for _, sql := range statements {
		results, err := c.PgConn().Exec(ctx, sql).ReadAll()
		if err != nil {
			return "", err
		}
		for _, r := range results {
			if out = ""; len(r.Rows) > 0 {
				out = string(r.Rows[0][0])
			}
		}
	}
	return out, nil
}

func (s session) must(statements ...string) string {
	s.t.Helper()
	out, err := s.try(statements...)
	if err != nil {
		s.t.Fatalf("%s: %v", statements, err)
	}
	return out
}
