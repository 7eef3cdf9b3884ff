package world_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/client"
	"meridian/test/conduit"
	"meridian/test/harness"
)

// flagsFile is a world of three edges whose function answers with a key's value.
// %[1]s is the module's folder, %[2]s that of the function.
const flagsFile = `domain: api.example.test
regions: {us-east-1: {primary: true}, eu-west-1: {}}
edges: [us-east-1, eu-west-1, sa-east-1]
api: %[1]s/examples/hello/openapi.yaml
functions:
  hello: {go: %[1]s/examples/hello/functions/hello}
database: {name: hello, migrations: %[1]s/examples/hello/migrations}
keyValueStores:
  flags: {file: %[2]s/flags.json}
edgeFunctions:
  flag: {code: %[2]s/flag.js, kvs: flags}
behaviors:
  - {path: /flag, functions: {viewerRequest: flag}}
`

const flagFunction = `import cf from 'cloudfront';
async function handler() {
  const store = cf.kvs();
  return { statusCode: 200, headers: { 'x-by': { value: 'BY' } }, body: (await store.exists('flag')) ? await store.get('flag') : 'none' };
}
`

// TestKeysOfAWorldFlipAtEveryEdge puts a key by the command line, and watches
// each edge until it answers with the new value: within a second. The other
// commands read it, change it by its etag alone, and delete it; a changed source
// is taken by a reload. The control is a value that nobody put: no edge shows it.
func TestKeysOfAWorldFlipAtEveryEdge(t *testing.T) {
	t.Parallel()
	dir, root := harness.Folder(t), harness.Root(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("flags.json", `{"data": [{"key": "flag", "value": "file"}]}`)
	write("flag.js", strings.Replace(flagFunction, "BY", "first", 1))
	write("meridian.yaml", fmt.Sprintf(flagsFile, root, dir))
	from, err := filepath.Rel(root, filepath.Join(dir, "meridian.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w := harness.Up(t, from, filepath.Join(dir, "world"))
	s := w.Status()
	var doors []*conduit.Client
	for _, e := range s.Edges {
		doors = append(doors, door(t, s, e.Name, http.CookieJar(nil)))
	}
	shows := func(want string) func() error {
		return func() error {
			for i, d := range doors {
				if a := get(t, d, "GET", "/flag", nil, 200); string(a.Body) != want {
					return fmt.Errorf("%s shows %q, want %q", s.Edges[i].Name, a.Body, want)
				}
			}
			return nil
		}
	}
	harness.Eventually(t, time.Second, shows("file"))
	slowest := time.Duration(0)
	for i := range 5 {
		value := fmt.Sprint("v", i)
		w.Do("kvs", "put", "flags", "flag", value)
		put := time.Now()
		harness.Eventually(t, time.Second, shows(value))
		slowest = max(slowest, time.Since(put))
	}
	t.Logf("%d edges showed each of 5 values at most %v after the command that put it", len(doors), slowest.Round(time.Millisecond))
	if err := shows("never put")(); err == nil {
		t.Error("an edge shows what nobody put")
	}
	var p client.Pair
	if err := json.Unmarshal([]byte(w.Do("kvs", "get", "--json", "flags", "flag")), &p); err != nil || p.Value != "v4" {
		t.Fatalf("%+v, %v", p, err)
	}
	if out := w.Do("kvs", "list", "flags"); !strings.Contains(out, p.ETag) || !strings.Contains(out, "v4") {
		t.Errorf("list: %s", out)
	}
	w.Do("kvs", "put", "--if-match", p.ETag, "flags", "flag", "matched")
	if out, err := w.Try(10*time.Second, "kvs", "put", "--if-match", p.ETag, "flags", "flag", "late"); err == nil {
		t.Errorf("an old etag is taken: %s", out)
	}
	if _, err := w.Try(10*time.Second, "kvs", "get", "nobody", "flag"); err == nil || !strings.Contains(err.Error(), `no key-value store "nobody"`) {
		t.Errorf("a store that is not there: %v", err)
	}
	harness.Eventually(t, time.Second, shows("matched"))
	w.Do("kvs", "delete", "flags", "flag")
	harness.Eventually(t, time.Second, shows("none"))

	write("flag.js", strings.Replace(flagFunction, "BY", "second", 1))
	if out := w.Do("reload", filepath.Join(dir, "meridian.yaml")); !strings.Contains(out, "edgeFunctions") {
		t.Errorf("reload does not say what changed: %s", out)
	}
	for i, d := range doors {
		if a := get(t, d, "GET", "/flag", nil, 200); a.Header.Get("X-By") != "second" {
			t.Errorf("%s: %v", s.Edges[i].Name, a.Header)
		}
	}
}
