package edge

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// timed returns what Server-Timing says of a request, with n in place of each
// number and id in place of the request's.
func (w *world) timed(t *testing.T, path string, header ...string) string {
	t.Helper()
	got := w.do("GET", path, "", header...)
	said := strings.Join(got.header["Server-Timing"], " | ")
	if id := got.header.Get("X-Meridian-Request"); id != "" {
		said = strings.ReplaceAll(said, id, "id")
	}
	return regexp.MustCompile(`dur=\d+`).ReplaceAllString(said, "dur=n")
}

// The names are CloudFront's, and who reads a response's can tell where it came
// from.
func TestServerTimingSaysWhatWasDone(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/s/said" {
			w.Header().Set("Server-Timing", "db;dur=5")
		}
		if w.Header().Set("Etag", `"a"`); r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		cacheable(w, "x")
	}}
	policy := func(percent float64) *ResponsePolicy { return &ResponsePolicy{ServerTiming: &percent} }
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/s/*", Response: policy(100)}, {Path: "/r/*", Response: policy(0)}, {Path: "/n/*", Response: &ResponsePolicy{}}, {Path: "/get", Methods: []string{"HEAD"}, Response: policy(100)}}
	})
	const here = `cdn-pop;desc="eu-west-1", cdn-rid;desc="id", cdn-downstream-fbl;dur=n`
	const miss = `cdn-cache-miss, cdn-upstream-layer;desc="EDGE", cdn-upstream-fbl;dur=n, ` + here
	for _, tt := range []struct {
		path, want string
		header     []string
	}{
		{"/s/a", miss, nil},
		{"/s/a", `cdn-cache-hit, cdn-hit-layer;desc="EDGE", ` + here, nil},
		{"/s/a", strings.Replace(miss, "miss", "refresh", 1), []string{"Cache-Control", "no-cache"}},
		{"/s/said", "db;dur=n | " + miss, nil},
		{"/get", here, nil},
		{"/r/a", "", nil},
		{"/r/b", miss, []string{"Pragma", "server-timing"}},
		{"/n/a", "", []string{"Pragma", "server-timing"}},
	} {
		if got := w.timed(t, tt.path, tt.header...); got != tt.want {
			t.Errorf("%s %q:\n%s, want\n%s", tt.path, tt.header, got, tt.want)
		}
	}
}

func TestServerTimingKnowsTheShield(t *testing.T) {
	all := 100.0
	s := newShieldWorld(t, 2, func(w http.ResponseWriter, _ *http.Request) { cacheable(w, "x") }, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/*", Response: &ResponsePolicy{ServerTiming: &all}}}
	})
	for i, want := range []string{`cdn-cache-miss, cdn-upstream-layer;desc="Origin Shield", cdn-upstream-fbl;dur=n, cdn-pop`, `cdn-cache-hit, cdn-hit-layer;desc="Origin Shield", cdn-pop`} {
		if got := s.edges[i].timed(t, "/a"); !strings.HasPrefix(got, want) || strings.Contains(got, "|") {
			t.Errorf("at edge %d: %s, want %s", i, got, want)
		}
	}
}
