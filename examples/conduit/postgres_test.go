package conduit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/proc"
)

// A cluster is a PostgreSQL server of this test's own, behind a Unix socket in
// a folder that only its user can enter.
type cluster struct {
	dir      string
	uid, gid int // 0: as ourselves
}

// database starts a server with the example's tables, and returns its address.
// The server and its files are gone when the test ends.
func database(t *testing.T) (url string) {
	t.Helper()
	c := &cluster{dir: folder(t)}
	if os.Getuid() == 0 {
		c.uid, c.gid = ids(t, "postgres")
		if err := os.Chown(c.dir, c.uid, c.gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(c.dir, "data")
	initdb := c.start(t, "initdb", "-D", data, "-U", "conduit", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync")
	if err := initdb.Err(); err != nil {
		t.Fatalf("initdb: %v: %s", err, c.log())
	}
	server := c.start(t, "postgres", "-D", data, "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx, syscall.SIGQUIT); err != nil {
			t.Errorf("stop postgres: %v", err)
		}
	})
	url = fmt.Sprintf("postgres://conduit@/postgres?host=%s", c.dir)
	conn := c.connect(t, server, url)
	defer conn.Close(context.Background())
	migrate(t, conn)
	return url
}

// folder returns a folder whose parents let another user through, and whose
// name is short enough for a socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "conduit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func ids(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	if err := errors.Join(errU, errG); err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

// start runs one of PostgreSQL's programs: that of the newest version in the
// usual folder, else what PATH has.
func (c *cluster) start(t *testing.T, program string, args ...string) *proc.Process {
	t.Helper()
	path := program
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program); len(found) > 0 {
		path = found[len(found)-1]
	} else if path, _ = exec.LookPath(program); path == "" {
		t.Fatalf("%s is not on this machine: make deps installs it", program)
	}
	out, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := proc.Start(proc.Cmd{Path: path, Args: args, Dir: c.dir, UID: c.uid, GID: c.gid, Stdout: out, Stderr: out,
		Env: []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + c.dir}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (c *cluster) log() string {
	text, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return string(text)
}

// connect asks until the server answers, or has ended.
func (c *cluster) connect(t *testing.T, server *proc.Process, url string) *pgx.Conn {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			return conn
		}
		select {
		case <-server.Done():
			t.Fatalf("postgres ended: %v: %s", server.Err(), c.log())
		case <-tick.C:
		}
	}
}

func migrate(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	for _, file := range files {
		sql, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), string(sql)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}
