package edge

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cache"
	"meridian/edge/function"
)

func TestMatchApplied(t *testing.T) {
	bs := []Behavior{{Path: "/old/*"}, {Path: "/new/*"}, {Path: "/a b&c=%/*"}}
	for _, tt := range []struct{ told, path, want, why string }{
		{"%2Fold%2F%2A", "/new/1", "/old/*", "/old/* is what the first edge went by"},
		{applied(&bs[2]), "/new/1", "/a b&c=%/*", "/a b&c=%/* is what the first edge went by"},
		{"%2A", "/new/1", "*", "no pattern matched at the first edge"},
		{"%2Fgone%2F%2A", "/new/1", "/new/*", "/gone/*, which the first edge went by, is none here; /new/* is the first pattern that matches, of 3"},
		{"", "/new/1", "/new/*", "/new/* is the first pattern that matches, of 3"},
		{"%zz", "/new/1", "/new/*", "/new/* is the first pattern that matches, of 3"},
	} {
		if m := MatchApplied(bs, tt.told, tt.path); m.Path != tt.want || m.Why != tt.why {
			t.Errorf("told %q: %s, %s; want %s, %s", tt.told, m.Path, m.Why, tt.want, tt.why)
		}
	}
}

// FuzzApplied: what is read is what was written, and what is written otherwise is
// never a behaviour that is not there.
func FuzzApplied(f *testing.F) {
	f.Add("%2Fold%2F%2A", "/old/*")
	f.Add("%", "*")
	f.Add("a+b", "/\u00e9&= ")
	f.Fuzz(func(t *testing.T, told, pattern string) {
		bs := []Behavior{{Path: "/old/*"}, {Path: pattern}}
		if m := MatchApplied(bs, told, "/old/1"); m.Path != "/old/*" && m.Path != pattern && m.Path != "*" {
			t.Errorf("%q: %s", told, m.Path)
		}
		text := applied(&bs[1])
		if m := MatchApplied(bs, text, "/old/1"); pattern != "" && len(pattern) <= 255 && m.Path != pattern {
			t.Errorf("%q came as %s", pattern, m.Path)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("%q is no header: %q", pattern, text)
		}
	})
}

// A function gives a request the path of another behaviour: the shield keeps to
// the first one, as the first edge does, and what is stored of the one is not
// told who asks by the other. Control, in the same test: a shield that is not
// told goes by the path.
func TestTheShieldKeepsToTheFirstEdgesBehavior(t *testing.T) {
	long, short := cache.Default(), cache.Default()
	long.Name, long.MinTTL, long.MaxTTL = "long", time.Hour, time.Hour
	short.Name, short.MaxTTL = "short", time.Hour
	for _, told := range []bool{true, false} {
		var asked atomic.Int64
		s := newShieldWorld(t, 1, func(w http.ResponseWriter, r *http.Request) {
			n := asked.Add(1)
			if r.Header.Get(headerBehavior) != "" {
				t.Error("a region was sent what is between edges")
			}
			w.Header().Set("Cache-Control", "max-age=0")
			fmt.Fprintf(w, "%d", n)
		}, func(c *Config, _ *Deps, _ *world) {
			c.Functions.Functions = []function.Source{{Name: "rewrite", File: "rewrite.js", Code: []byte(`function handler(e) { e.request.uri = e.request.uri.replace('/old', '/new'); return e.request; }`)}}
			c.Behaviors = []Behavior{{Path: "/old/*", Cache: &long, Functions: Functions{ViewerRequest: "rewrite"}}, {Path: "/new/*", Cache: &short}}
		})
		if !told {
			inner := s.front.serve
			s.front.serve = func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del(headerBehavior)
				inner(w, r)
			}
		}
		e := s.edges[0]
		first := e.do("GET", "/old/1", "")
		e.Purge(cache.Purge{ID: "p", Path: "/new/1"}) // so that it asks the shield again
		again := e.do("GET", "/old/1", "")
		if kept := again.body == first.body; kept != told {
			t.Errorf("told %v: the shield answered %s and %s: %v", told, first.body, again.body, again.header["Cache-Status"])
		}
		if !told {
			continue
		}
		if other := e.do("GET", "/new/1", ""); other.body == first.body {
			t.Errorf("what went by /old/* answered %s to who asks by /new/*", other.body)
		}
	}
}

// A client cannot say by which behaviour it goes.
func TestAClientDoesNotChooseItsBehavior(t *testing.T) {
	w := newWorld(t, []*region{showing(nil)}, running(nil, Behavior{Path: "/private/*", Methods: []string{"GET"}}, Behavior{Path: "/open/*"}))
	if got := w.do("DELETE", "/private/1", "", headerBehavior, "%2Fopen%2F%2A"); got.status != http.StatusMethodNotAllowed {
		t.Errorf("answered %d, want 405", got.status)
	}
}
