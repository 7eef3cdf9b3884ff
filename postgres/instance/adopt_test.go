package instance

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian"
	"meridian/internal/proc"
	"meridian/postgres/pgtest"
)

// TestKeep is the decision: each fact that is not as it must be ends the
// PostgreSQL that was found.
func TestKeep(t *testing.T) {
	good := found{PID: 7, Ours: true, Status: "ready", Socket: "/s", System: 5, Says: 5, Settings: true}
	if ok, why := keep(good, Primary, "/s"); !ok {
		t.Fatalf("a good one is not kept: %s", why)
	}
	standby := good
	standby.Standby, standby.Recovering = true, true
	if ok, why := keep(standby, Standby, "/s"); !ok {
		t.Fatalf("a good standby is not kept: %s", why)
	}
	for what, change := range map[string]func(*found){
		"none runs":          func(f *found) { f.PID = 0 },
		"another process":    func(f *found) { f.Ours = false },
		"it starts":          func(f *found) { f.Status = "starting" },
		"another socket":     func(f *found) { f.Socket = "/t" },
		"silent":             func(f *found) { f.Says = 0 },
		"another system":     func(f *found) { f.Says = 6 },
		"recovering":         func(f *found) { f.Recovering = true },
		"the data follows":   func(f *found) { f.Standby = true },
		"settings of before": func(f *found) { f.Settings = false },
	} {
		f := good
		change(&f)
		if ok, why := keep(f, Primary, "/s"); ok || why == "" {
			t.Errorf("%s: kept, %q", what, why)
		}
	}
	if ok, _ := keep(good, Standby, "/s"); ok {
		t.Error("a primary is kept where a standby shall run")
	}
}

// node is the environment variable that makes this test's binary a node.
const node = "INSTANCE_TEST_NODE"

// nodeConfig is what such a node runs, in a folder.
func nodeConfig(dir string, outlive bool) Config {
	return Config{
		Region: "us-east-1", Dir: filepath.Join(dir, "us-east-1"), SocketDir: filepath.Join(dir, "s", "us-east-1"),
		Database: "conduit", SharedBuffers: "8MB", MaxConnections: 20, Outlive: outlive,
	}
}

// TestMain lets this binary be a node that a test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(node); dir != "" {
		in, err := New(nodeConfig(dir, os.Getenv(node+"_OUTLIVE") != ""), Deps{})
		if err == nil {
			err = in.Run(context.Background(), Primary, func() { os.Stdout.WriteString("ready\n") })
		}
		if err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, remove, err := pgtest.NewFolder()
	if err != nil {
		panic(err)
	}
	defer remove()
	templates = dir
	return m.Run()
}

// TestPostgreSQLOutlivesItsNode kills a node. Its PostgreSQL goes on, the next
// node adopts it as it is, without a restart and thus without recovery, hears
// what it says, and can end it. When the role has changed it is not adopted
// but ended first. The control is a node whose PostgreSQL is not to outlive it.
func TestPostgreSQLOutlivesItsNode(t *testing.T) {
	t.Parallel()
	for name, outlive := range map[string]bool{"outlives": true, "control": false} {
		t.Run(name, func(t *testing.T) {
			dir := pgtest.Folder(t)
			pid := killedNode(t, dir, outlive)
			in, err := New(nodeConfig(dir, outlive), Deps{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
			if err != nil {
				t.Fatal(err)
			}
			c := &cluster{Instance: in, t: t}
			if outlive != runsOn(pid, c.data()) {
				t.Fatalf("the node is dead; its PostgreSQL runs: %v", !outlive)
			}
			c.start(Primary).up()
			if same := int(c.running.Load()) == pid; same != outlive {
				t.Errorf("the same postmaster: %v", same)
			}
			started := c.must("SELECT pg_postmaster_start_time()::text")
			c.must("CREATE TABLE t (n int)")
			if !outlive {
				return
			}
			other, err := New(nodeConfig(dir, true), Deps{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Run(t.Context(), Primary, func() { t.Error("a second node owns it too") }); err == nil || !strings.Contains(err.Error(), "in use by another process") {
				t.Errorf("a second node: %v", err)
			}
			if err := c.Synchronous(t.Context(), 1, []meridian.Region{"eu-west-1"}); err != nil {
				t.Fatal(err)
			}
			c.Leave() // as for an upgrade
			c.stop()
			if !runsOn(pid, c.data()) {
				t.Fatal("a node that leaves took its PostgreSQL along")
			}
			c = &cluster{Instance: other, t: t}
			c.start(Primary).up()
			if now := c.must("SHOW synchronous_standby_names"); !strings.Contains(now, "eu_west_1") {
				t.Errorf("commits waited for eu-west-1; after the adoption for %q, before anybody said so", now)
			}
			if now := c.must("SELECT pg_postmaster_start_time()::text"); now != started {
				t.Errorf("started at %s, now %s", started, now)
			}
			c.stop()
			if runsOn(pid, c.data()) {
				t.Error("an adopted PostgreSQL was not ended with its node")
			}
		})
	}
}

// TestAPrimaryIsNotAdoptedAsAStandby lets another region take over while the
// node is away: its PostgreSQL is ended before its data is touched.
func TestAPrimaryIsNotAdoptedAsAStandby(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	pid := killedNode(t, dir, true)
	in, err := New(nodeConfig(dir, true), Deps{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Instance: in, t: t}
	c.start(Standby) // waits for a primary that it cannot ask
	for end := time.Now().Add(patience); alive(pid) && runsOn(pid, c.data()); wait(t.Context(), 5*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a primary goes on where a standby shall run")
		}
	}
	if role, err := c.Data(); role != Primary || err != nil {
		t.Errorf("the data is a %s's, %v", role, err)
	}
}

// killedNode runs a node until its PostgreSQL is ready, kills it, and returns
// the postmaster's pid.
func killedNode(t *testing.T, dir string, outlive bool) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	env := append(os.Environ(), node+"="+dir)
	if outlive {
		env = append(env, node+"_OUTLIVE=1")
	}
	p, err := proc.Start(proc.Cmd{Path: "/proc/self/exe", Env: env, Stdout: w, Stderr: os.Stderr})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 6)); err != nil || n == 0 {
		t.Fatalf("the node is not ready: %v, %v", err, p.Err())
	}
	in := &Instance{cfg: nodeConfig(dir, outlive)}
	pid := pidIn(filepath.Join(in.data(), "postmaster.pid"))
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	t.Cleanup(func() {
		if runsOn(pid, in.data()) {
			syscall.Kill(pid, syscall.SIGQUIT)
		}
	})
	for end := time.Now().Add(patience); !outlive && alive(pid) && time.Now().Before(end); {
		wait(t.Context(), 5*time.Millisecond) // the kernel ends it, in its time
	}
	if pid == 0 {
		t.Fatal("no postmaster")
	}
	return pid
}
