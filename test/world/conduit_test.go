package world_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/test/conduit"
	"meridian/test/harness"
)

const conduitFile = "examples/conduit/meridian.yaml"

// door returns a client of the edge at a place, as one browser with jar.
func door(t *testing.T, s harness.Status, place string, jar http.CookieJar) *conduit.Client {
	t.Helper()
	c, err := conduit.At(conduit.Endpoint{Domain: s.Domain, Addr: s.Edge(place), Roots: s.Roots(t)}, jar)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

// get asks and checks the status.
func get(t *testing.T, c *conduit.Client, method, path string, body any, want int) *conduit.Answer {
	t.Helper()
	a, err := c.Do(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != want {
		t.Fatalf("%v: want %d", a, want)
	}
	return a
}

// TestConduitStoryAcrossEdges is the whole path on real parts: three regions
// and five edges, PostgreSQL, etcd, DNS, TLS. It registers at one edge, writes
// at a second, reads at a third with no wait between, loses a secondary region
// and then the primary's in the middle, and checks every answer.
func TestConduitStoryAcrossEdges(t *testing.T) {
	t.Parallel()
	state := filepath.Join(harness.Folder(t), "world")
	w := harness.Up(t, conduitFile, state)
	s := w.Status()
	jar := newJar(t)
	at := func(place string) *conduit.Client { return door(t, s, place, jar) }

	token := conduit.Story(t, at("us-east-1"), at("sa-east-1"), at("ap-southeast-1"))
	writer, reader := at("sa-east-1").As(token), at("ap-southeast-1").As(token)
	pairs(t, writer, reader, 20, 0)

	t.Run("a secondary region is lost", func(t *testing.T) {
		w.Do("fault", "down", "eu-west-1")
		for range 20 {
			get(t, at("eu-west-1"), "GET", "/api/tags", nil, 200)
		}
		conduit.Story(t, at("eu-west-1"), at("sa-east-1"), at("ap-southeast-1"))
		healthy(t, w, "eu-west-1", false)
		w.Do("fault", "heal", "eu-west-1")
		healthy(t, w, "eu-west-1", true)
		pairs(t, writer, at("eu-west-1").As(token), 10, 0)
	})

	t.Run("the primary's region is lost", func(t *testing.T) {
		replicated(t, s) // else the last write is lost with the region, and its writer is refused older data
		w.Do("fault", "down", "us-east-1")
		defer w.Do("fault", "heal") // the other parts want a whole world, whatever fails here
		get(t, reader, "GET", "/api/articles", nil, 200)
		a := get(t, reader, "POST", "/api/articles", map[string]any{"article": map[string]any{"title": "lost", "description": "d", "body": "b"}}, 503)
		if a.Header.Get("Retry-After") == "" || !json.Valid(a.Body) || !strings.Contains(string(a.Body), "primary") {
			t.Errorf("a write without the primary: %v: want Retry-After and a JSON body that says why", a)
		}
		w.Do("fault", "heal", "us-east-1")
		healthy(t, w, "us-east-1", true)
		harness.Eventually(t, 20*time.Second, func() error {
			stale, err := conduit.Pairs(t.Context(), writer, reader, 1)
			if stale > 0 {
				return fmt.Errorf("%d stale reads", stale)
			}
			return err
		})
	})

	t.Run("every edge passes the suite", func(t *testing.T) {
		var all sync.WaitGroup
		for _, e := range s.Edges { // at once: what takes the time is their distance
			all.Go(func() {
				t.Run(e.Name, func(t *testing.T) {
					one := newJar(t)
					conduit.Suite(t, func() *conduit.Client { return door(t, s, e.Name, one) })
					conduit.OtherOrigins(t, door(t, s, e.Name, one))
				})
			})
		}
		all.Wait()
	})

	t.Run("kill -9 of the supervisor leaves nothing behind, and the data whole", func(t *testing.T) {
		slug := published(t, writer)
		killSupervisor(t, w)
		harness.Up(t, conduitFile, state)
		get(t, at("ap-southeast-2").As(token), "GET", "/api/articles/"+slug, nil, 200)
	})
}

// TestStaleReadsShowWithoutTokens is the negative control of guarantee 1: the
// same pairs, with edges that forget and drop consistency tokens, must fail.
func TestStaleReadsShowWithoutTokens(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, conduitFile, filepath.Join(harness.Folder(t), "world"), "MERIDIAN_TEST_IGNORE_CONSISTENCY=1")
	s := w.Status()
	jar := newJar(t)
	token := register(t, door(t, s, "us-east-1", jar))
	harness.Eventually(t, 10*time.Second, func() error { // its own registration is not there at once either
		a, err := door(t, s, "ap-southeast-1", jar).As(token).Do(t.Context(), "GET", "/api/user", nil)
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("%v", a)
		}
		return err
	})
	stale, err := conduit.Pairs(t.Context(), door(t, s, "sa-east-1", jar).As(token), door(t, s, "ap-southeast-1", jar).As(token), 20)
	if err != nil {
		t.Fatal(err)
	}
	if stale == 0 {
		t.Error("no stale read in 20 pairs though tokens were ignored: the story would not notice a broken guarantee")
	}
}

func register(t *testing.T, c *conduit.Client) (token string) {
	t.Helper()
	name := fmt.Sprintf("u%d", time.Now().UnixNano())
	a := get(t, c, "POST", "/api/users", map[string]any{"user": map[string]any{"username": name, "email": name + "@example.test", "password": "pa55" + name}}, 201)
	return a.Text("user.token")
}

func published(t *testing.T, c *conduit.Client) (slug string) {
	t.Helper()
	a := get(t, c, "POST", "/api/articles", map[string]any{"article": map[string]any{"title": fmt.Sprint("kept ", time.Now().UnixNano()), "description": "d", "body": "b"}}, 201)
	return a.Text("article.slug")
}

func pairs(t *testing.T, write, read *conduit.Client, n, want int) {
	t.Helper()
	if stale, err := conduit.Pairs(t.Context(), write, read, n); err != nil || stale != want {
		t.Fatalf("%d of %d reads were stale (%v), want %d", stale, n, err, want)
	}
}

// replicated waits until every standby has what the primary has on its disk now.
func replicated(t *testing.T, s harness.Status) {
	t.Helper()
	const reached = "SELECT coalesce(pg_last_wal_replay_lsn() >= '%s', false)::int"
	written := ask[string](t, s.Regions[0].Postgres, "SELECT pg_current_wal_flush_lsn()::text")
	for _, r := range s.Regions[1:] {
		harness.Eventually(t, 10*time.Second, func() error {
			if ask[int](t, r.Postgres, fmt.Sprintf(reached, written)) == 0 {
				return fmt.Errorf("%s has not replayed %s", r.Name, written)
			}
			return nil
		})
	}
}

func healthy(t *testing.T, w *harness.World, region string, want bool) {
	t.Helper()
	harness.Eventually(t, 10*time.Second, func() error {
		for _, r := range w.Status().Regions {
			if r.Name == region && r.Healthy != want {
				return fmt.Errorf("status says healthy=%t of %s", r.Healthy, region)
			}
		}
		return nil
	})
}

// killSupervisor kills the supervisor as a loss of power would, and waits
// until no process of the world is left.
func killSupervisor(t *testing.T, w *harness.World) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.State, "world.json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ PID int }
	if err := json.Unmarshal(b, &record); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(record.PID)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 10*time.Second, func() error {
		if left := processesOf(w.State); len(left) > 0 {
			return fmt.Errorf("%d processes are left: %v", len(left), left)
		}
		return nil
	})
}

// processesOf returns the command lines that name a folder.
func processesOf(dir string) (out []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		b, err := os.ReadFile(l)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if line := strings.ReplaceAll(string(b), "\x00", " "); strings.Contains(line, dir+"/") {
			out = append(out, line)
		}
	}
	return out
}
