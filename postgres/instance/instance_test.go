package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
	"meridian/internal/proc"
	"meridian/postgres/pgtest"
)

// patience bounds each wait of these tests; none waits that long unless it fails.
const patience = 60 * time.Second

// A cluster is an Instance that a test runs.
type cluster struct {
	*Instance
	t      *testing.T
	cancel context.CancelFunc
	ready  chan struct{}
	done   chan struct{}
	err    error // of Run, after done
}

func newCluster(t *testing.T, dir string, region meridian.Region, upstream func(context.Context) (net.Conn, error)) *cluster {
	t.Helper()
	var termed func(context.Context, uint64) (net.Conn, error)
	if upstream != nil {
		termed = func(ctx context.Context, _ uint64) (net.Conn, error) { return upstream(ctx) }
	}
	in, err := New(Config{
		Region: region, Dir: filepath.Join(dir, string(region)), SocketDir: filepath.Join(dir, "s", string(region)),
		Database: "conduit", SharedBuffers: "8MB", MaxConnections: 20,
	}, Deps{Upstream: termed, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{Instance: in, t: t}
}

func (c *cluster) start(role Role) *cluster {
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.ready, c.done = make(chan struct{}), make(chan struct{})
	go func() {
		c.err = c.Run(ctx, role, func() { close(c.ready) })
		close(c.done)
	}()
	c.t.Cleanup(func() { c.cancel(); <-c.done })
	return c
}

func (c *cluster) up() *cluster {
	c.t.Helper()
	select {
	case <-c.ready:
	case <-c.done:
		c.t.Fatalf("%s ended: %v", c.cfg.Region, c.err)
	case <-time.After(patience):
		c.t.Fatalf("%s is not ready", c.cfg.Region)
	}
	return c
}

func (c *cluster) stop() {
	c.t.Helper()
	c.cancel()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatalf("%s does not stop", c.cfg.Region)
	}
	if c.err != nil {
		c.t.Errorf("%s ended with %v", c.cfg.Region, c.err)
	}
}

// query asks over a connection of its own.
func (c *cluster) query(role, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := connect(ctx, c.Dial, role, c.cfg.Database, nil)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return first(ctx, conn, sql)
}

// first returns the first column of the first row.
func first(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	for _, r := range results {
		if len(r.Rows) > 0 {
			return string(r.Rows[0][0]), nil
		}
	}
	return "", nil
}

func (c *cluster) must(sql string) string {
	c.t.Helper()
	got, err := c.query("conduit", sql)
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.cfg.Region, sql, err)
	}
	return got
}

// eventually asks until the answer is want.
func (c *cluster) eventually(sql, want string) {
	c.t.Helper()
	c.eventuallyAs("conduit", sql, want)
}

func (c *cluster) eventuallyAs(role, sql, want string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var conn *pgconn.PgConn
	var got string
	var err error
	for ctx.Err() == nil {
		if conn == nil || conn.IsClosed() { // to connect costs more than to ask
			if conn, err = connect(ctx, c.Dial, role, c.cfg.Database, nil); err == nil {
				defer conn.Close(context.WithoutCancel(ctx))
			}
		}
		if conn != nil {
			if got, err = first(ctx, conn, sql); err == nil && got == want {
				return
			}
		}
		wait(ctx, 5*time.Millisecond)
	}
	c.t.Fatalf("%s: %s: got %q, %v; want %q", c.cfg.Region, sql, got, err, want)
}

// crash kills everything at once, as a power cut does to a node.
func (c *cluster) crash() {
	c.t.Helper()
	pid := int(c.running.Load())
	if pid == 0 {
		c.t.Fatal("no postgres runs")
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

func TestWritesOnThePrimaryAreReadOnTheStandby(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	a.must("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
	b := newCluster(t, dir, "eu-west-1", a.Dial).start(Standby).up()
	b.eventually("SELECT count(*) FROM t", "1")
	a.must("INSERT INTO t VALUES (2)")
	b.eventually("SELECT count(*) FROM t", "2")

	if _, err := b.query("conduit", "INSERT INTO t VALUES (3)"); err == nil || !strings.Contains(err.Error(), "25006") {
		t.Errorf("the standby took a write: %v", err)
	}
	if got := a.must("SELECT slot_name FROM pg_replication_slots WHERE active"); got != "eu_west_1" {
		t.Errorf("active slot %q", got)
	}
	if got := a.must("SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"); got != "f" {
		t.Error("the application's role has rights it should not have")
	}
	b.stop()
	a.stop()
}

func TestReadsGoOnWithoutThePrimaryAndCatchUpAfterIt(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	a.must("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
	b := newCluster(t, dir, "eu-west-1", a.Dial).start(Standby).up()
	b.eventually("SELECT count(*) FROM t", "1")
	b.stop()
	a.stop()

	b.start(Standby).up()
	b.eventually("SELECT count(*) FROM t", "1")
	a.start(Primary).up()
	a.must("INSERT INTO t VALUES (2)")
	b.eventually("SELECT count(*) FROM t", "2")
}

func TestCommittedDataOutlivesKill9(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	own := filepath.Join(dir, "us-east-1")
	if Founded(own) {
		t.Error("founded before its first start")
	}
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	if !Founded(own) {
		t.Error("not founded, and up")
	}
	a.must("CREATE TABLE t (n int)")
	for n := range 3 {
		a.must(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
		a.crash()
		a.eventually("SELECT count(*) FROM t", fmt.Sprint(n+1)) // Run brought it back
	}
	a.stop()
	a.start(Primary).up()
	a.eventually("SELECT count(*) FROM t", "3")
}

// TestPidOfSomebodyElseDoesNotKeepItFromStarting leaves the lock files of a
// killed PostgreSQL whose pid a living process of its user has got since. The
// negative control is PostgreSQL alone, which believes the pid.
func TestPidOfSomebodyElseDoesNotKeepItFromStarting(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	a.stop()
	other, err := proc.Start(proc.Cmd{Path: "/bin/sleep", Args: []string{"1000"}, UID: a.run.UID, GID: a.run.GID})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Kill()
	for _, name := range []string{filepath.Join(a.data(), "postmaster.pid"), socketIn(a.cfg.SocketDir) + ".lock"} {
		content := fmt.Sprintf("%d\n%s\n1\n5432\n%s\n\n\n", other.PID(), a.data(), a.cfg.SocketDir)
		if err := a.run.write(name, content); err != nil {
			t.Fatal(err)
		}
	}
	err = a.serve(t.Context(), Primary, nil, func() { t.Error("it started: the control controls nothing") })
	if err == nil || !strings.Contains(err.Error(), "lock file") {
		t.Errorf("the control ended with %v", err)
	}
	a.start(Primary).up()
}

// TestOrphanIsEnded starts over a PostgreSQL that outlived its node, as it can
// where the kernel knows no parent-death signal.
func TestOrphanIsEnded(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	a.must("CREATE TABLE t (n int)")
	a.stop()
	orphan, err := proc.Start(a.command("postgres", "-D", a.data()))
	if err != nil {
		t.Fatal(err)
	}
	for pid, status := a.postmaster(); pid != orphan.PID() || status != "ready"; pid, status = a.postmaster() {
		wait(t.Context(), 5*time.Millisecond)
	}
	a.start(Primary).up()
	<-orphan.Done()
	a.eventually("SELECT count(*) FROM t", "0")
}

// TestHalfDoneCopyIsMadeAgain leaves what a crash during the copy leaves. The
// negative control is the same under the name of a whole copy: it is refused,
// so that the name alone is what tells them apart.
func TestHalfDoneCopyIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	a.must("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
	b := newCluster(t, dir, "eu-west-1", a.Dial)
	if err := os.MkdirAll(filepath.Join(b.partial(), "base"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.partial(), b.data()); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(b.data()); err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("half of a copy passes for a whole one: %v", err)
	}
	if err := os.Rename(b.data(), b.partial()); err != nil {
		t.Fatal(err)
	}
	b.start(Standby).up()
	b.eventually("SELECT count(*) FROM t", "1")
	if _, err := os.Stat(b.partial()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half of a copy remains: %v", err)
	}
}

func TestCopyOfAnotherDatabaseIsKeptAsideAndMadeAnew(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	b := newCluster(t, dir, "eu-west-1", a.Dial).start(Standby).up()
	old, err := system(b.data())
	if err != nil {
		t.Fatal(err)
	}
	a.stop()
	if err := os.RemoveAll(a.data()); err != nil { // the primary lost its disk
		t.Fatal(err)
	}
	a.start(Primary).up()
	a.must("CREATE TABLE fresh (n int)")
	b.eventually("SELECT count(*) FROM fresh", "0") // b ran all the time
	if kept, err := system(filepath.Join(b.cfg.Dir, fmt.Sprintf("pg.old-%d", old))); err != nil || kept != old {
		t.Errorf("the old copy was not kept: %d, %v", kept, err)
	}
}

func TestStandbyWithoutACopyWaitsForItsPrimary(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil)
	tried := make(chan struct{})
	once := sync.OnceFunc(func() { close(tried) })
	b := newCluster(t, dir, "eu-west-1", func(ctx context.Context) (net.Conn, error) {
		defer once()
		return a.Dial(ctx)
	}).start(Standby)
	<-tried
	select {
	case <-b.ready:
		t.Fatal("ready without data")
	default:
	}
	a.start(Primary).up()
	b.up()
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	second := newCluster(t, dir, "us-east-1", nil).start(Primary)
	<-second.done
	if second.err == nil || !strings.Contains(second.err.Error(), "in use by another process") {
		t.Errorf("got %v", second.err)
	}
}
