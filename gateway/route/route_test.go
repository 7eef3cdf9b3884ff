package route_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian/gateway/route"
)

// TestRoutes runs the scripts in testdata. "routes" gives a table, a route key
// a line; "match" gives requests, a method and a raw path a line.
func TestRoutes(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var keys []route.Key
		var table *route.Table
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "routes":
				keys = nil
				for line := range strings.Lines(d.Input) {
					keys = append(keys, key(line))
				}
				var err error
				if table, err = route.New(keys); err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%d routes\n", len(keys))
			case "match":
				for line := range strings.Lines(d.Input) {
					method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
					m := table.Match(method, path)
					fmt.Fprintf(&out, "%s %s -> ", method, path)
					if m.Found() {
						fmt.Fprintf(&out, "%s", keys[m.Index])
						if p := keys[m.Index].Params(path); p != nil {
							fmt.Fprintf(&out, " %v", p)
						}
						out.WriteString(": ")
					}
					fmt.Fprintf(&out, "%s\n", m.Why)
				}
				return out.String()
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

func key(line string) route.Key {
	method, path, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		return route.Key{Path: method}
	}
	return route.Key{Method: method, Path: path}
}

func TestConflictNamesBothRoutes(t *testing.T) {
	_, err := route.New([]route.Key{{"GET", "/a"}, {"GET", "/p/{x}"}, {"GET", "/p/{y}"}})
	var c *route.Conflict
	if !errors.As(err, &c) || c.Index != 2 || c.With != 1 {
		t.Errorf("New = %v, want a conflict of 2 with 1", err)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table, err := route.New([]route.Key{{"GET", "/api/articles/{slug}/comments/{id}"}, {"ANY", "/{proxy+}"}})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		table.Match("GET", "/api/articles/how-to/comments/7")
		table.Match("POST", "/api/articles/how-to/comments/7")
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzMatch compares the table with an oracle that looks at every route.
func FuzzMatch(f *testing.F) {
	f.Add("GET /pets/dog/1\nGET /pets/dog/{id}\nGET /pets/{proxy+}\nANY /{proxy+}\n$default", "POST", "/test/5")
	f.Add("GET /{a}/b\nGET /a/{proxy+}", "GET", "/a/b")
	f.Add("GET /{a}/b/c\nPUT /a/b/{c}\nANY /{a}/{b}/{c+}", "GET", "/a/b/")
	f.Add("GET /%64og\nGET //\nANY /", "GET", "/do%67")
	f.Fuzz(func(t *testing.T, routes, method, path string) {
		var keys []route.Key
		for line := range strings.SplitSeq(routes[:min(len(routes), 400)], "\n") {
			more := append(slices.Clone(keys), key(line))
			if _, err := route.New(more); err == nil {
				keys = more
			}
		}
		table, err := route.New(keys)
		if err != nil {
			t.Fatal(err)
		}
		got, want := table.Match(method, path), oracle(keys, method, path)
		if got.Index != want || got.Why == "" {
			t.Errorf("%s %s in %v: route %d (%s), want %d", method, path, keys, got.Index, got.Why, want)
		}
		if got.Found() {
			keys[got.Index].Params(path)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	keys := []route.Key{{"ANY", "/{proxy+}"}}
	for i := range 100 {
		keys = append(keys, route.Key{"GET", fmt.Sprintf("/api/r%d/{id}/x/{n}", i)})
	}
	table, err := route.New(keys)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		table.Match("GET", "/api/r42/17/x/9")
	}
}
