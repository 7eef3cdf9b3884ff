package world_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"meridian/test/conduit"
	"meridian/test/harness"
)

// behaviorsFile is a world of two regions beside an HTTP server of somebody
// else's. %[1]s is the module's folder, %[2]s the server's URL.
const behaviorsFile = `domain: api.example.test
regions: {us-east-1: {primary: true}, eu-west-1: {}}
api: %[1]s/examples/hello/openapi.yaml
functions:
  hello: {go: %[1]s/examples/hello/functions/hello}
database: {name: hello, migrations: %[1]s/examples/hello/migrations}
secrets: {word: {generate: 16}}
origins:
  assets: {url: "%[2]s/bucket", headers: {X-Origin-Verify: {secret: word}}}
cachePolicies:
  counted: {defaultTTL: 10m, query: none}
behaviors:
  - {path: /visits, cache: counted, errors: {500: {page: /assets/sorry.html}}}
  - {path: /assets/*, origin: assets, cache: CachingOptimized, methods: [GET, HEAD], responseHeaders: SecurityHeadersPolicy}
`

// TestBehaviorsOfAWorld is most that a behaviour says, on real parts: what a
// policy stores is answered from memory to callers who have seen nothing newer,
// and never to who wrote at another edge meanwhile; and an origin of somebody
// else's is asked once, with its secret and without the caller's.
func TestBehaviorsOfAWorld(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var last atomic.Pointer[http.Request]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		last.Store(r)
		fmt.Fprint(w, r.RequestURI)
	}))
	defer server.Close()
	dir, root := harness.Folder(t), harness.Root(t)
	file := filepath.Join(dir, "meridian.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, behaviorsFile, root, server.URL), 0o644); err != nil {
		t.Fatal(err)
	}
	from, err := filepath.Rel(root, file)
	if err != nil {
		t.Fatal(err)
	}
	w := harness.Up(t, from, filepath.Join(dir, "world"))
	s := w.Status()
	t.Run("a policy stores, and nobody reads what is older than they wrote", func(t *testing.T) { countVisits(t, s) })
	t.Run("an origin of one's own is asked once", func(t *testing.T) {
		c := door(t, s, "eu-west-1", nil)
		for range 3 {
			a := get(t, c, "GET", "/assets/a%2Fb?x=1", nil, 200)
			if string(a.Body) != "/bucket/assets/a%2Fb" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %v", a.Body, a.Header)
			}
		}
		r := last.Load()
		if asked.Load() != 1 || len(r.Header.Get("X-Origin-Verify")) != 32 {
			t.Errorf("asked %d times, with %v", asked.Load(), r.Header)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "Meridian-") {
				t.Errorf("%s was sent", name)
			}
		}
		get(t, c, "POST", "/assets/a", nil, 405)
	})
	t.Run("trace says which behaviour it was", func(t *testing.T) {
		out := w.Do("trace", "--from", "eu-west-1", "https://"+s.Domain+"/assets/c")
		for _, want := range []string{"behavior=/assets/*", "cache.policy=CachingOptimized"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s in\n%s", want, out)
			}
		}
	})
}

// countVisits writes at the primary's edge and reads at the other, where a
// stranger reads as well: what the stranger's request stored just after the
// write may be from before it. Each write ends what is stored, so that it is
// stored anew all the time. The control is the stranger, who is answered from
// memory.
func countVisits(t *testing.T, s harness.Status) {
	jar := newJar(t)
	writer, reader, stranger := door(t, s, "us-east-1", jar), door(t, s, "eu-west-1", jar), elsewhere(t, s)
	hits, older := 0, 0
	for range 60 {
		wrote := visits(t, get(t, writer, "POST", "/visits", nil, 201))
		first := visits(t, get(t, stranger, "GET", "/visits?utm=1", nil, 200))
		a := get(t, reader, "GET", "/visits", nil, 200)
		if got := visits(t, a); got < wrote {
			t.Errorf("who wrote %d reads %d (%s), just after a stranger read %d", wrote, got, a.Header.Get("Cache-Status"), first)
		}
		if first < wrote {
			older++
		}
		if a := get(t, stranger, "GET", "/visits?utm=2", nil, 200); strings.Contains(a.Header.Get("Cache-Status"), "; hit; ") {
			hits++
		}
	}
	if t.Logf("of 60 strangers %d read what was older than the write, and %d were answered from memory", older, hits); hits == 0 {
		t.Error("nobody was answered from memory")
	}
}

func visits(t *testing.T, a *conduit.Answer) (n int) {
	t.Helper()
	var said struct{ Visits int }
	if err := json.Unmarshal(a.Body, &said); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	return said.Visits
}

// elsewhere returns a client of the edge at eu-west-1 that keeps no cookies.
func elsewhere(t *testing.T, s harness.Status) *conduit.Client { return door(t, s, "eu-west-1", nil) }
