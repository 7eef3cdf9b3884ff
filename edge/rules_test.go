package edge

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"meridian/edge/cache"
	"meridian/edge/function"
	"meridian/edge/origin"
)

// take has the edge take rules, or fails the test.
func (w *world) take(r Rules) {
	w.t.Helper()
	swap, err := w.Edge.Prepare(r)
	if err != nil {
		w.t.Fatal(err)
	}
	swap()
}

// TestRulesAreReplacedUnderRequests swaps the origin of a path while it works on
// a request: that one ends where it began, the next begins at the new one. Then
// what is wrong is refused, and what was right holds.
func TestRulesAreReplacedUnderRequests(t *testing.T) {
	entered, release := make(chan bool, 1), make(chan bool)
	_, first := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/assets/slow" {
			entered <- true
			<-release
		}
		io.WriteString(w, "first")
	})
	_, second := stranger(t, false, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "second") })
	paths := []Behavior{{Path: "/assets/*", Origin: "assets"}}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(first, paths...))
	want := func(path, body string) {
		t.Helper()
		if got := w.do("GET", path, ""); !strings.HasPrefix(got.body, body) {
			t.Errorf("%s: %q, want %s", path, got.body, body)
		}
	}
	want("/assets/a", "first")
	was := w.Edge.rules.Load().customs["assets"]
	w.take(Rules{Behaviors: append([]Behavior{{Path: "/closed", Methods: []string{"POST"}}}, paths...), Origins: []origin.CustomConfig{first}})
	if w.Edge.rules.Load().customs["assets"] != was {
		t.Error("an origin that is as before lost its connections")
	}
	if got := w.do("GET", "/closed", ""); got.status != 405 {
		t.Errorf("a new behaviour: %d", got.status)
	}
	ended := make(chan string)
	go func() { ended <- w.do("GET", "/assets/slow", "").body }() // awaited below
	<-entered
	w.take(Rules{Behaviors: paths, Origins: []origin.CustomConfig{second}})
	want("/assets/a", "second")
	want("/closed", "eu-west-1")
	release <- true
	if got := <-ended; got != "first" {
		t.Errorf("a request that was under way ended with %q", got)
	}
	for _, bad := range []Rules{{Behaviors: paths}, {Behaviors: []Behavior{{Path: ""}}}} {
		if _, err := w.Edge.Prepare(bad); err == nil {
			t.Errorf("%+v is not refused", bad)
		}
	}
	want("/assets/a", "second")
	closed := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, r := range []Rules{{Guard: Guard{Deny: closed}}, {Behaviors: []Behavior{{Path: "*", Guard: Guard{Deny: closed}}}}} {
		w.take(r)
		if got := w.do("GET", "/x", ""); got.status != 403 {
			t.Errorf("a guard that came with a new file lets in: %d", got.status)
		}
	}
	w.take(Rules{Behaviors: []Behavior{{Path: "/v", Viewer: []string{"CloudFront-Viewer-Address"}}}})
	if b := w.Edge.rules.Load().behaviors[0]; len(b.viewer) != 1 {
		t.Errorf("the viewer's headers of a new behaviour are not made ready: %v", b.viewer)
	}
	w.take(Rules{})
	want("/assets/a", "eu-west-1")
}

// TestWhatIsCachedObeysTheNewPolicy: a response is fresh for no longer than the
// policy in force allows, and is not looked for where nothing is stored. The
// control is the first request after the first.
func TestWhatIsCachedObeysTheNewPolicy(t *testing.T) {
	n := 0
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Age", "5")
	})
	rules := func(p *cache.Policy) Rules {
		return Rules{Behaviors: []Behavior{{Path: "*", Origin: "assets", Cache: p}}, Origins: []origin.CustomConfig{o}}
	}
	day := cache.Default()
	short := day
	short.MaxTTL = 2e9
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, rules(&day).Behaviors...))
	for i, p := range []*cache.Policy{&day, &day, &short, {Name: "none"}} {
		w.take(rules(p))
		w.do("GET", "/x", "")
		if want := []int{1, 1, 2, 3}[i]; n != want {
			t.Errorf("under policy %d the origin was asked %d times in all, want %d", i, n, want)
		}
	}
}

// TestFunctionsAreReplacedUnderRequests takes a changed source while a request of
// the old one is under way, then one that is wrong, then other networks for the
// origins that functions make.
func TestFunctionsAreReplacedUnderRequests(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	r := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			entered <- true
			<-release
		}
		io.WriteString(w, q.Header.Get("X-By"))
	}}
	source := func(by string) []function.Source {
		return []function.Source{{Name: "f", File: "f.js", Code: []byte(`function handler(event) {
			const out = event.response || event.request;
			out.headers['x-by'] = {value: "` + by + `"};
			return out;
		}`)}}
	}
	paths := []Behavior{{Path: "*", Functions: Functions{ViewerRequest: "f", ViewerResponse: "f"}}}
	w := newWorld(t, []*region{r}, func(c *Config, _ *Deps, _ *world) { c.Behaviors, c.Functions.Functions = paths, source("first") })
	want := func(by string) {
		t.Helper()
		if got := w.do("GET", "/", ""); got.body != by || got.header.Get("X-By") != by {
			t.Errorf("%q, %q; want %s", got.body, got.header.Get("X-By"), by)
		}
	}
	want("first")
	ended := make(chan got)
	go func() { ended <- w.do("GET", "/slow", "") }() // awaited below
	<-entered
	w.take(Rules{Behaviors: paths, Functions: source("second")})
	want("second")
	release <- true
	if got := <-ended; got.body != "first" || got.header.Get("X-By") != "first" {
		t.Errorf("a request that was under way ended with %q, %q", got.body, got.header.Get("X-By"))
	}
	for _, bad := range []Rules{{Behaviors: paths}, {Behaviors: paths, Functions: []function.Source{{Name: "f", File: "f.js", Code: []byte("nothing.there; function handler() {}")}}}} {
		if _, err := w.Edge.Prepare(bad); err == nil {
			t.Errorf("%+v is not refused", bad)
		}
	}
	want("second")
	was := w.Edge.rules.Load()
	w.take(Rules{Behaviors: paths, Functions: source("second"), Lanes: was.lanes.cfg})
	if w.Edge.rules.Load().lanes != was.lanes {
		t.Error("networks that are as before lost their connections")
	}
	w.take(Rules{Behaviors: paths, Functions: source("second"), Lanes: Lanes{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	if got := w.Edge.rules.Load().lanes; got == was.lanes || len(got.cfg.Allow) != 1 {
		t.Error("other networks are not taken")
	}
}
