package world_test

import (
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

// countVisits writes at the primary's edge and reads at the other. A caller who
// knows nothing of the write is the control: it gets what was stored before.
func countVisits(t *testing.T, s harness.Status) {
	jar := newJar(t)
	writer, reader, stranger := door(t, s, "us-east-1", jar), door(t, s, "eu-west-1", jar), elsewhere(t, s)
	before := get(t, stranger, "GET", "/visits?utm=1", nil, 200)
	get(t, writer, "POST", "/visits", nil, 201)
	if a := get(t, reader, "GET", "/visits", nil, 200); string(a.Body) == string(before.Body) {
		t.Errorf("who wrote reads %s, as before (%s)", a.Body, a.Header.Get("Cache-Status"))
	}
	if a := get(t, reader, "GET", "/visits?utm=2", nil, 200); !strings.Contains(a.Header.Get("Cache-Status"), "; hit; ") {
		t.Errorf("what is new enough was not answered from memory: %s", a.Header.Get("Cache-Status"))
	}
	get(t, writer, "POST", "/visits", nil, 201)
	if a := get(t, stranger, "GET", "/visits", nil, 200); !strings.Contains(a.Header.Get("Cache-Status"), "; hit; ") {
		t.Errorf("the control was not answered from memory: %s", a.Header.Get("Cache-Status"))
	}
	if a := get(t, reader, "GET", "/visits", nil, 200); strings.Contains(a.Header.Get("Cache-Status"), "; hit; ") {
		t.Errorf("who wrote again is answered from memory: %s %s", a.Body, a.Header.Get("Cache-Status"))
	}
}

// elsewhere returns a client of the edge at eu-west-1 that keeps no cookies.
func elsewhere(t *testing.T, s harness.Status) *conduit.Client { return door(t, s, "eu-west-1", nil) }
