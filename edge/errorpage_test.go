package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAPageStandsForAnError(t *testing.T) {
	var pages atomic.Int64
	var seen http.Header
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		switch r.URL.Path {
		case "/errors/sorry.html":
			pages.Add(1)
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"page"`)
			io.WriteString(w, "sorry")
		default:
			w.WriteHeader(500)
		}
	})
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Own", "1")
		w.Header().Set("Meridian-Consistency", "db:1:1:30")
		if r.URL.Path == "/lost" {
			w.Header().Set("Meridian-Lost-Write", "1")
		}
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(410)
		case "/ok":
		default:
			w.WriteHeader(503)
		}
		io.WriteString(w, "own")
	}}
	page := ErrorPage{Path: "/errors/sorry.html"}
	w := newWorld(t, []*region{g}, behaviors(o,
		Behavior{Path: "/errors/*", Origin: "assets"},
		Behavior{Path: "/plain"},
		Behavior{Path: "/broken", Errors: map[int]ErrorPage{503: {Path: "/errors/none.html"}}},
		Behavior{Path: "*", Methods: []string{"GET", "HEAD", "POST"}, Response: &ResponsePolicy{Name: "p", Set: http.Header{"X-Frame-Options": {"DENY"}}},
			Errors: map[int]ErrorPage{503: page, 410: {Path: page.Path, Status: 200}, 405: page}},
	))
	for _, tt := range []struct{ method, path, want string }{
		{"GET", "/busy", "503 sorry 7 no-store  DENY"},
		{"POST", "/busy", "503 sorry 7 no-store  DENY"},
		{"HEAD", "/busy", "503  7 no-store  DENY"},
		{"GET", "/gone", `200 sorry 7 max-age=60 "page" DENY`},
		{"DELETE", "/busy", "405 sorry  no-store  DENY"},
		{"GET", "/ok", "200 own 7   DENY"},
		{"GET", "/lost", "503 own 7   DENY"}, // what its caller must know is not hidden
		{"GET", "/plain", "503 own 7   "},
		{"GET", "/broken", "503 own 7   "},
	} {
		got := w.do(tt.method, tt.path, "", "Authorization", "Bearer t", "Cookie", "sid=1", "If-None-Match", `"page"`, "Accept-Language", "de")
		h := got.header
		if is := fmt.Sprintf("%d %s %s %s %s %s", got.status, got.body, h.Get("Retry-After"), h.Get("Cache-Control"), h.Get("Etag"), h.Get("X-Frame-Options")); is != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, is, tt.want)
		}
		if h.Get("Retry-After") != "" && len(h["Meridian-Consistency"])+len(h["Set-Cookie"]) != 2 {
			t.Errorf("%s %s: the token of the error was not told: %v", tt.method, tt.path, h)
		}
	}
	if n := pages.Load(); n != 1 {
		t.Errorf("the page was fetched %d times", n)
	}
	if seen.Get("Authorization")+seen.Get("Cookie")+seen.Get("If-None-Match") != "" || seen.Get("Accept-Language") != "de" {
		t.Errorf("the page was fetched with %v", seen)
	}
	for _, want := range []string{"page=/errors/sorry.html", "an error page was not answered"} {
		w.until("logged "+want, func() bool { return strings.Contains(w.log.String(), want) })
	}
}

// The page of what the edge itself answers comes from elsewhere than what is
// down.
func TestAPageStandsForAnOriginThatIsDown(t *testing.T) {
	s, o := stranger(t, false, nil)
	s.Close()
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "sorry") }}
	w := newWorld(t, []*region{g}, behaviors(o, Behavior{Path: "/assets/*", Origin: "assets", Errors: map[int]ErrorPage{503: {Path: "/sorry"}}}))
	if got := w.do("GET", "/assets/a", ""); got.status != 503 || got.body != "sorry" || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	for range 3 {
		w.do("GET", "/assets/a", "")
	}
	if c := w.Edge.rules.Load().customs["assets"]; !c.Down() {
		t.Error("after three dials that failed the circuit is not open")
	}
}
