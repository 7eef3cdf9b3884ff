// Package harness brings real worlds up for tests: it builds the binary,
// runs `meridian up` on a state folder of its own, and speaks to it as users
// do, through the command line alone.
package harness

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Root returns the folder of the module.
func Root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// Binary returns the path of meridian as the sources now are, which goes with
// the test. To link it takes seconds, so that it is kept in the module's build
// folder: go build links it again only where the sources have changed, and puts
// it in place as a whole. What the test gets is a link to it, which a later
// build does not touch.
func Binary(t testing.TB) string {
	t.Helper()
	kept := filepath.Join(Root(t), "build", "test")
	if err := os.MkdirAll(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(kept, "of-a-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	newest, bin := filepath.Join(kept, "meridian"), filepath.Join(dir, "meridian")
	cmd := exec.Command("go", "build", "-o", newest, "meridian/cmd/meridian")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+dir) // the same file system: it is renamed, not copied
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	if err := os.Link(newest, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// Folder returns an empty folder through which other users can pass, as
// PostgreSQL and the functions of a world need it. It goes with the test.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "meridian-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A World is a world that is up.
type World struct {
	t     testing.TB
	State string
	bin   string
	env   []string
}

// Up brings up the world of a file, which lies in the module if its path is
// relative, and ends it with the test.
func Up(t testing.TB, file, state string, env ...string) *World {
	t.Helper()
	w := &World{t: t, State: state, bin: Binary(t), env: append(os.Environ(), env...)}
	t.Cleanup(w.Down)
	path := file
	if !filepath.IsAbs(file) {
		path = filepath.Join(Root(t), file)
	}
	if out, err := w.Try(3*time.Minute, "up", "--detach", path); err != nil {
		log, _ := os.ReadFile(filepath.Join(state, "up.log"))
		t.Fatalf("up: %v\n%s\n%s", err, out, log)
	}
	return w
}

// Down ends the world. Ending it twice is no error. Of a test that failed it
// says first what the nodes complained of: the logs go with the folder.
func (w *World) Down() {
	w.t.Helper()
	if w.t.Failed() {
		w.complaints()
	}
	if out, err := w.Try(30*time.Second, "down"); err != nil {
		w.t.Errorf("down: %v\n%s", err, out)
	}
}

// complaints logs the last lines of each node's log that are more than news.
func (w *World) complaints() {
	logs, _ := filepath.Glob(filepath.Join(w.State, "log", "*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			w.t.Log(err)
			continue
		}
		w.t.Logf("%s:\n%s", filepath.Base(name), strings.Join(lastComplaints(string(b), 40), ""))
	}
}

// lastComplaints returns the last n lines of a log that a reader of a failed
// test wants: warnings, errors, decisions about the primary, what functions
// wrote, and what is no log line at all, as a panic.
func lastComplaints(log string, n int) (out []string) {
	for line := range strings.Lines(log) {
		news := strings.Contains(line, `"level":"INFO"`) || strings.Contains(line, "level=INFO")
		if !news || strings.Contains(line, `"msg":"primary"`) || strings.Contains(line, `"msg":"function output"`) {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-n):]
}

// Try runs a command of the binary on this world and returns what it printed.
func (w *World) Try(patience time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // a cleanup outlives the test's own
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bin, append(args, "--state", w.State)...)
	cmd.Env = w.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("meridian %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), err
}

// Do runs a command that must succeed.
func (w *World) Do(args ...string) string {
	w.t.Helper()
	out, err := w.Try(90*time.Second, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// Status is what `meridian status --json` says, as far as tests read it.
type Status struct {
	Domain  string   `json:"domain"`
	CA      string   `json:"ca"`
	DNS     []string `json:"dns"`
	Console string   `json:"console"`
	Regions []struct {
		Name      string `json:"name"`
		Primary   bool   `json:"primary"`
		Healthy   bool   `json:"healthy"`
		Drained   bool   `json:"drained"`
		ReplayLag int64  `json:"replay_lag_ms"`
		Gateway   string `json:"gateway"`
		Postgres  string `json:"postgres"`
		Standbys  []struct {
			Node      string `json:"node"`
			Healthy   bool   `json:"healthy"`
			ReplayLag int64  `json:"replay_lag_ms"`
		} `json:"standbys"`
	} `json:"regions"`
	Edges []struct {
		Name  string `json:"name"`
		HTTPS string `json:"https"`
		HTTP  string `json:"http"`
	} `json:"edges"`
	Nodes []struct {
		Name string `json:"name"`
		PID  int    `json:"pid"`
	} `json:"nodes"`
}

// Status asks for the world's state.
func (w *World) Status() (s Status) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.Do("status", "--json")), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Edge returns the address of the edge at a place.
func (s Status) Edge(place string) string {
	for _, e := range s.Edges {
		if e.Name == place {
			return e.HTTPS
		}
	}
	return ""
}

// Roots returns a pool with the world's CA.
func (s Status) Roots(t testing.TB) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", s.CA)
	}
	return pool
}

// Eventually asks until ok says nil, and fails with its last complaint after
// patience.
func Eventually(t testing.TB, patience time.Duration, ok func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %v", patience, err)
		}
		<-tick.C
	}
}
