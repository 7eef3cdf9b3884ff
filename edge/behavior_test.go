package edge

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/edge/cache"
)

func TestTheFirstPatternThatMatchesDecides(t *testing.T) {
	bs := []Behavior{{Path: "/articles/feed"}, {Path: "/articles*"}, {Path: "images/*.jpg"}, {Path: "/v?/tags"}, {Path: "*.css"}}
	for path, want := range map[string]string{
		"/articles/feed":       "/articles/feed",
		"/articles":            "/articles*",
		"/articles/feed/":      "/articles*",
		"/Articles":            "*", // case counts
		"/images/a/b.jpg":      "images/*.jpg",
		"/images/.jpg":         "images/*.jpg",
		"/images/a.jpeg":       "*",
		"/v1/tags":             "/v?/tags",
		"/v/tags":              "*",
		"/v10/tags":            "*",
		"/a/b.css":             "*.css",
		"/":                    "*",
		"*":                    "*", // OPTIONS *
		"/%61rticles":          "/articles*",
		"/x/../articles/feed":  "/articles/feed",
		"/x/%2e%2E/articles/a": "/articles*",
		"/articles/../x":       "*",
		"/articles%2F..%2Fx":   "/articles*", // an escaped / is none
		"/./articles/./feed":   "/articles/feed",
		"/../../articles":      "/articles*",
	} {
		m := MatchPath(bs, path)
		if m.Path != want || m.Why == "" {
			t.Errorf("%s: %s (%s), want %s", path, m.Path, m.Why, want)
		}
	}
}

func BenchmarkMatchPath(b *testing.B) {
	var bs []Behavior
	for i := range 25 {
		bs = append(bs, Behavior{Path: fmt.Sprintf("/service%d/*", i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		MatchPath(bs, "/service24/articles/1")
	}
}

// What is stored cannot depend on what the key has not: the origin is not sent
// it. A policy of the file may send more.
func TestAnOriginIsSentWhatTheKeyHas(t *testing.T) {
	stored := &cache.Policy{Name: "p", MaxTTL: time.Hour, Headers: allow("Host", "Accept"), Cookies: allow("lang"), Query: allow("page")}
	disabled := &cache.Policy{Name: "CachingDisabled"}
	few := RequestPolicy{Name: "few", Headers: allow("Referer"), Cookies: allow("sid"), Query: allow("utm")}
	for _, tt := range []struct {
		name     string
		b        Behavior
		method   string
		stranger bool
		host     bool
		header   string
		query    string
	}{
		{"no policy, a region", Behavior{}, "GET", false, true, "Accept Authorization Cookie:lang=de; sid=1 Referer", "page=1&utm=x"},
		{"no policy, another", Behavior{}, "GET", true, false, "Accept Referer", "page=1&utm=x"},
		{"stored, a region", Behavior{Cache: stored}, "GET", false, true, "Accept Authorization Cookie:lang=de Referer", "page=1"},
		{"stored, another", Behavior{Cache: stored}, "HEAD", true, true, "Accept Cookie:lang=de Referer", "page=1"},
		{"a write, a region", Behavior{Cache: stored}, "POST", false, true, "Accept Authorization Cookie:lang=de; sid=1 Referer", "page=1&utm=x"},
		{"a write, another", Behavior{Cache: stored}, "POST", true, false, "Accept Referer", "page=1&utm=x"},
		{"not stored", Behavior{Cache: disabled}, "GET", false, true, "Accept Authorization Cookie:lang=de; sid=1 Referer", "page=1&utm=x"},
		{"both policies", Behavior{Cache: stored, Request: few}, "GET", false, true, "Accept Cookie:lang=de; sid=1 Referer", "page=1&utm=x"},
		{"both, a write", Behavior{Cache: stored, Request: few}, "POST", false, false, "Cookie:sid=1 Referer", "utm=x"},
	} {
		p := tt.b.sends(tt.method, tt.stranger)
		h := http.Header{"Accept": {"*/*"}, "Authorization": {"x"}, "Referer": {"x"}, "Cookie": {"lang=de; sid=1"}}
		p.filter(h)
		var names []string
		for _, name := range slices.Sorted(maps.Keys(h)) {
			if name == "Cookie" {
				name += ":" + h.Get("Cookie")
			}
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != tt.header {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.header)
		}
		if got := p.query("page=1&utm=x"); got != tt.query {
			t.Errorf("%s: query %s, want %s", tt.name, got, tt.query)
		}
		if host := p.isZero() || p.header("Host"); host != tt.host {
			t.Errorf("%s: Host sent: %t", tt.name, host)
		}
	}
}

func TestAcceptEncodingIsNormalized(t *testing.T) {
	for _, tt := range []struct{ accepts, ours, want string }{
		{"gzip, deflate, br, zstd", "br gzip", "br,gzip"}, {"gzip;q=0.5, BR", "br gzip", "br,gzip"}, {"x-gzip", "br gzip", "gzip"}, {"deflate", "br gzip", "identity"},
		{"gzip;q=0, br", "br gzip", "br"}, {"gzip; q=0.000", "br gzip", "identity"}, {"gzip;q=0.01", "br gzip", "gzip"}, {"*", "br gzip", "br,gzip"}, {"*;q=0.1, br;q=0", "br gzip", "gzip"},
		{"br", "", "identity"}, {"", "br gzip", "identity"}, {"zstd, gzip", "zstd br gzip", "zstd,gzip"},
	} {
		if got := strings.Join(codings([]string{tt.accepts}, strings.Fields(tt.ours)), "|"); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.accepts, tt.ours, got, tt.want)
		}
	}
	if got := codings(nil, []string{"br"}); got != nil {
		t.Errorf("%q of a viewer that says nothing", got)
	}
}

// FuzzCodings wants nothing asked of an origin that is not in the policy, and
// one answer for what was normalized already.
func FuzzCodings(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0, br")
	f.Add("identity;q=0,;,=,q=")
	f.Fuzz(func(t *testing.T, accepts string) {
		ours := []string{"zstd", "br", "gzip"}
		got := codings([]string{accepts}, ours)
		if len(got) != 1 {
			t.Fatalf("%q: %q", accepts, got)
		}
		for coding := range strings.SplitSeq(got[0], ",") {
			if coding != "identity" && !slices.Contains(ours, coding) {
				t.Errorf("%q: %q", accepts, got)
			}
		}
		if again := codings(got, ours); again[0] != got[0] {
			t.Errorf("%q: %q, then %q", accepts, got, again)
		}
	})
}
