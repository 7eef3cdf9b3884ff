package edge

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cache"
)

// counting returns a region that numbers its answers and says what it saw.
func counting(headers ...string) *region {
	var n atomic.Int64
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
		}
		fmt.Fprintf(w, "%d %s cookie=%s accept=%s", n.Add(1), r.RequestURI, r.Header.Get("Cookie"), r.Header.Get("Accept-Encoding"))
	}}
}

func TestABehaviorsCachePolicySaysWhatIsStored(t *testing.T) {
	policy := &cache.Policy{
		Name: "p", DefaultTTL: time.Minute, MaxTTL: time.Hour, Query: allow("page"), Cookies: allow("lang"), Headers: allow("X-Tenant"),
		ErrorTTL: map[int]time.Duration{404: time.Minute},
	}
	w := newWorld(t, []*region{counting()}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{
			{Path: "/off*", Cache: &cache.Policy{Name: "CachingDisabled"}},
			{Path: "/default*"},
			{Path: "*", Cache: policy, Encodings: []string{"br", "gzip"}},
		}
	})
	for i, tt := range []struct{ method, path, header, want string }{
		{"GET", "/a?page=1&utm=x", "Cookie: lang=de; sid=1", "1 /a?page=1 cookie=lang=de accept="},
		{"GET", "/a?utm=y&page=1", "Cookie: sid=2; lang=de", "1 /a?page=1 cookie=lang=de accept="},
		{"GET", "/a?%70age=1", "Cookie: lang=de", "2 /a?%70age=1 cookie=lang=de accept="},
		{"GET", "/a?page=2", "Cookie: lang=de", "3 /a?page=2 cookie=lang=de accept="},
		{"GET", "/a?page=1", "Cookie: lang=fr", "4 /a?page=1 cookie=lang=fr accept="},
		{"GET", "/a?page=1", "X-Tenant: b", "5 /a?page=1 cookie= accept="},
		{"GET", "/a?page=1", "X-Tenant: b", "5 /a?page=1 cookie= accept="},
		{"GET", "/b", "Accept-Encoding: gzip, deflate, br, zstd", "6 /b cookie= accept=br,gzip"},
		{"GET", "/missing", "A: b", "7 /missing cookie= accept="},
		{"GET", "/missing", "A: b", "7 /missing cookie= accept="},
		{"POST", "/c?utm=x", "Cookie: sid=1", "8 /c?utm=x cookie=sid=1 accept="},
		{"GET", "/off?utm=x", "Cookie: sid=1", "9 /off?utm=x cookie=sid=1 accept="},
		{"GET", "/off?utm=x", "Cookie: sid=1", "10 /off?utm=x cookie=sid=1 accept="},
		{"GET", "/default?utm=x", "Cookie: sid=1", "11 /default?utm=x cookie=sid=1 accept="},
		{"GET", "/default?utm=x", "Accept-Encoding: gzip, zstd", "12 /default?utm=x cookie= accept=gzip, zstd"},
	} {
		name, value, _ := strings.Cut(tt.header, ": ")
		if got := w.do(tt.method, tt.path, "", name, value); got.body != tt.want {
			t.Errorf("%d: %s %s: %s, want %s (%s)", i, tt.method, tt.path, got.body, tt.want, got.header.Get("Cache-Status"))
		}
	}
}

// A policy of the file may send what the key has not. Control of the rule that
// nothing else is: then one caller's answer is another's.
func TestWhatIsSentBesideTheKeyIsShared(t *testing.T) {
	w := newWorld(t, []*region{counting()}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{
			Path: "*", Cache: &cache.Policy{Name: "p", DefaultTTL: time.Minute, MaxTTL: time.Hour},
			Request: RequestPolicy{Name: "AllViewer", Headers: all, Cookies: all, Query: all},
		}}
	})
	for _, cookie := range []string{"sid=1", "sid=2"} {
		if got := w.do("GET", "/a", "", "Cookie", cookie); !strings.HasPrefix(got.body, "1 /a cookie=sid=1 ") {
			t.Errorf("%s: %s", cookie, got.body)
		}
	}
}

// What a custom origin is answered with is stored as a region's, and a policy
// of headers is not stored with it.
func TestAnOriginOfYourOwnIsCached(t *testing.T) {
	var n atomic.Int64
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Meridian-Consistency", "db:1:1:99")
		fmt.Fprint(w, n.Add(1))
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o,
		Behavior{Path: "*", Origin: "assets", Response: &ResponsePolicy{Name: "p", Default: http.Header{"X-Frame-Options": {"DENY"}}}}))
	for range 3 {
		if got := w.do("GET", "/a", ""); got.body != "1" || got.header.Get("X-Frame-Options") != "DENY" || got.header.Get("Meridian-Consistency") != "" {
			t.Errorf("%s %v", got.body, got.header)
		}
	}
	if cs := w.do("GET", "/a", "").header.Get("Cache-Status"); !strings.Contains(cs, "; hit; ") {
		t.Errorf("%s", cs)
	}
}

// What no credential was sent for may be shared; what one was sent for may not.
func TestACredentialThatIsNotSentKeepsNothingFromBeingStored(t *testing.T) {
	for name, want := range map[string]string{"": "1", "AllViewer": "2"} {
		var n atomic.Int64
		_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			fmt.Fprint(w, n.Add(1))
		})
		p := RequestPolicy{}
		if name != "" {
			p = RequestPolicy{Name: name, Headers: all, Cookies: all, Query: all}
		}
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets", Request: p}))
		var got string
		for range 2 {
			got = w.do("GET", "/a", "", "Authorization", "Bearer t").body
		}
		if got != want {
			t.Errorf("policy %q: the second answer is %s, want %s", name, got, want)
		}
	}
}
