package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cache"
	"meridian/edge/origin"
	"meridian/edge/rollout"
)

// stage has the edge stage rules, or fails the test.
func (w *world) stage(r Rules, p rollout.Plan) {
	w.t.Helper()
	s, err := w.Edge.PrepareStage(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Edge.Stage(s, p)
}

// testPlan gives the version v to requests with X-Stage: yes.
func testPlan() rollout.Plan {
	return rollout.Plan{Version: "v", Seed: []byte("seed"), By: rollout.ByRequest, Header: "X-Stage", Value: "yes"}
}

// called returns an origin that says its name, and counts who asks.
func called(t *testing.T, name, control string) (origin.CustomConfig, *atomic.Int64) {
	n := new(atomic.Int64)
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		if control != "" {
			w.Header().Set("Cache-Control", control)
		}
		if r.Header.Get("Cookie") != "" {
			w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		}
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, name)
	})
	return o, n
}

// TestTwoVersionsStandBesideEachOther: each request goes by one of them, with
// its error pages, as its header or its draw says; a purge of one origin's
// connections touches nothing of the other.
func TestTwoVersionsStandBesideEachOther(t *testing.T) {
	first, _ := called(t, "first", "")
	second, _ := called(t, "second", "")
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(first, Behavior{Path: "*", Origin: "assets"}))
	next := Rules{Origins: []origin.CustomConfig{second}, Behaviors: []Behavior{
		{Path: "/closed", Methods: []string{"POST"}}, {Path: "*", Origin: "assets", Errors: map[int]ErrorPage{404: {Path: "/page"}}},
	}}
	for _, g := range []got{w.do("GET", "/x", ""), w.do("GET", "/x", "", "X-Stage", "yes")} {
		if g.body != "first" || g.header.Get("X-Meridian-Rollout") != "" {
			t.Errorf("before: %q %v", g.body, g.header)
		}
	}
	w.stage(next, testPlan())
	for _, c := range []struct {
		path, stage, body, arm string
		status                 int
	}{
		{"/x", "", "first", "v; current", 200},
		{"/x", "no", "first", "v; current", 200},
		{"/x", "yes", "second", "v; staged", 200},
		{"/closed", "", "first", "v; current", 200},
		{"/closed", "yes", "", "v; staged", 405},
		{"/gone", "", "first", "v; current", 404},
		{"/gone", "yes", "second", "v; staged", 404}, // the page of the staged version, from its origin
	} {
		var h []string
		if c.stage != "" {
			h = []string{"X-Stage", c.stage}
		}
		g := w.do("GET", c.path, "", h...)
		if g.status != c.status || c.body != "" && g.body != c.body || g.header.Get("X-Meridian-Rollout") != c.arm {
			t.Errorf("%s, %q: %d %q %s", c.path, c.stage, g.status, g.body, g.header.Get("X-Meridian-Rollout"))
		}
	}
	w.until("in the log", func() bool {
		return strings.Contains(w.log.String(), `rollout="v; staged" rollout_why="by the header X-Stage"`)
	})
	if version, arms := w.Edge.Rollout(); version != "v" || arms.Staged.Total.Requests != 3 || arms.Staged.Total.Refused != 2 || arms.Current.Total.Requests != 4 || arms.Current.Total.Refused != 1 || arms.Staged.Total.Errors+arms.Current.Total.Errors != 0 {
		t.Errorf("%s: %+v", version, arms)
	}
	w.Edge.Unstage(false)
	if g := w.do("GET", "/x", "", "X-Stage", "yes"); g.body != "first" || g.header.Get("X-Meridian-Rollout") != "" {
		t.Errorf("after: %q %v", g.body, g.header)
	}
	if _, err := w.Edge.PrepareStage(Rules{Behaviors: []Behavior{{Path: "*", Origin: "nobody"}}}); err == nil {
		t.Error("what makes no sense is not refused")
	}
	if _, err := w.Edge.PrepareStage(Rules{Behaviors: []Behavior{{Path: "*", Functions: Functions{ViewerRequest: "nobody"}}}}); err == nil {
		t.Error("a function that is not there is not refused")
	}
}

// TestARequestKeepsItsVersion: one that is under way when its version goes ends
// with it, and the connections of its origin then.
func TestARequestKeepsItsVersion(t *testing.T) {
	entered, release := make(chan bool, 1), make(chan bool)
	first, _ := called(t, "first", "")
	_, second := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-release
		io.WriteString(w, "second")
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(first, Behavior{Path: "*", Origin: "assets"}))
	w.stage(Rules{Origins: []origin.CustomConfig{second}, Behaviors: []Behavior{{Path: "*", Origin: "assets"}}}, testPlan())
	ended := make(chan got)
	go func() { ended <- w.do("GET", "/x", "", "X-Stage", "yes") }() // awaited below
	<-entered
	w.Edge.Unstage(false)
	if g := w.do("GET", "/x", "", "X-Stage", "yes"); g.body != "first" {
		t.Errorf("a request that began later: %q", g.body)
	}
	release <- true
	if g := <-ended; g.body != "second" || g.status != 200 {
		t.Errorf("a request that was under way: %d %q", g.status, g.body)
	}
}

// TestACookieKeepsTheVersion: what was drawn stays while the cookie does, the
// origin sees none of it, and a cookie that nobody sealed counts for nothing.
func TestACookieKeepsTheVersion(t *testing.T) {
	first, _ := called(t, "first", "")
	second, _ := called(t, "second", "")
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(first, Behavior{Path: "*", Origin: "assets", Request: RequestPolicy{Headers: all, Cookies: all, Query: all}}))
	p := testPlan()
	p.Percent, p.Sticky = 50, 300*time.Second
	next := Rules{Origins: []origin.CustomConfig{second}, Behaviors: w.Edge.rules.Load().behaviors}
	w.stage(next, p)
	byArm := map[string]string{}
	for range 200 {
		g := w.do("GET", "/x", "")
		c, err := http.ParseSetCookie(g.header.Get("Set-Cookie"))
		if err != nil || c.MaxAge != 300 || !c.Secure || !c.HttpOnly {
			t.Fatalf("%v %v", g.header, err)
		}
		byArm[g.body] = c.Value
	}
	if len(byArm) != 2 {
		t.Fatalf("of 200 requests all went to %v", byArm)
	}
	for body, cookie := range byArm {
		for range 20 {
			if g := w.do("GET", "/x", "", "Cookie", "a=b; meridian-rollout="+cookie); g.body != body || g.header.Get("X-Cookie") != "a=b" {
				t.Fatalf("cookie %s of %s: %q, the origin saw %q", cookie, body, g.body, g.header.Get("X-Cookie"))
			}
		}
	}
	seen := map[string]bool{}
	for range 200 {
		seen[w.do("GET", "/x", "", "Cookie", "meridian-rollout=v.0.00000000").body] = true
	}
	if len(seen) != 2 {
		t.Errorf("a forged cookie is believed: %v", seen)
	}
	p.Percent = 100
	w.stage(next, p)
	for body, cookie := range byArm {
		if g := w.do("GET", "/x", "", "Cookie", "meridian-rollout="+cookie); g.body != "second" {
			t.Errorf("at 100 %%, the cookie of %s: %q", body, g.body)
		}
	}
}

// TestVersionsShareWhatIsStoredOnlyWhereItIsTheSame: a path whose responses come
// about in one way in both versions is fetched once; one with another origin, or
// another key, is not answered from what the other version stored, not even
// after it was promoted. Control: with nothing in the key of how they come about,
// it is.
func TestVersionsShareWhatIsStoredOnlyWhereItIsTheSame(t *testing.T) {
	run := func(t *testing.T, blind bool) (shared, other string, after string) {
		same, asked := called(t, "same", "max-age=600")
		first, _ := called(t, "first", "max-age=600")
		second, _ := called(t, "second", "max-age=600")
		same.Name, first.Name, second.Name = "same", "other", "other"
		day, hour := cache.Default(), cache.Default()
		hour.MaxTTL = time.Hour
		rules := func(o origin.CustomConfig, p *cache.Policy) Rules {
			return Rules{Origins: []origin.CustomConfig{same, o}, Behaviors: []Behavior{{Path: "/same", Origin: "same", Cache: p}, {Path: "/other", Origin: "other", Cache: p}}}
		}
		w := newWorld(t, []*region{named("eu-west-1", 0)})
		w.take(rules(first, &day))
		w.stage(rules(second, &hour), testPlan()) // of another lifetime, which is no reason to fetch again
		if blind {
			for _, rs := range []*ruleset{w.Edge.rules.Load(), w.Edge.staging.Load().rules} {
				for i := range rs.behaviors {
					rs.behaviors[i].made = ""
				}
			}
		}
		for range 2 {
			for _, path := range []string{"/same", "/other"} {
				w.do("GET", path, "")
				other = w.do("GET", path, "", "X-Stage", "yes").body
			}
		}
		shared = fmt.Sprint(asked.Load())
		w.take(rules(second, &hour))
		w.Edge.Unstage(false)
		if blind {
			return shared, other, ""
		}
		return shared, other, w.do("GET", "/other", "").body
	}
	if shared, other, after := run(t, false); shared != "1" || other != "second" || after != "second" {
		t.Errorf("the same was fetched %s times; the other was answered %q, and %q when it was promoted", shared, other, after)
	}
	if _, other, _ := run(t, true); other != "first" {
		t.Errorf("control: %q", other)
	}
}

// TestTheShieldGoesByTheSameVersion, or says that it does not have it: the edge
// then asks the origin itself, and goes on with the shield for others.
func TestTheShieldGoesByTheSameVersion(t *testing.T) {
	first, _ := called(t, "first", "max-age=600")
	second, asked := called(t, "second", "max-age=600")
	s := newShieldWorld(t, 1, func(http.ResponseWriter, *http.Request) {}, behaviors(first, Behavior{Path: "*", Origin: "assets"}))
	next := Rules{Origins: []origin.CustomConfig{second}, Behaviors: []Behavior{{Path: "*", Origin: "assets"}}}
	for _, w := range append(s.edges, s.shield) {
		w.stage(next, testPlan())
	}
	e := s.edges[0]
	for _, c := range []struct {
		path, stage, body string
		shielded          bool
	}{
		{"/a", "yes", "second", true},
		{"/a", "no", "first", true},
		{"/b", "yes", "second", false}, // the shield has left it
		{"/b", "no", "first", true},
	} {
		if c.path == "/b" {
			s.shield.Unstage(false)
		}
		g := e.do("GET", c.path, "", "X-Stage", c.stage)
		if through := strings.Contains(strings.Join(g.header["Via"], ","), "us-east-1.meridian"); g.body != c.body || through != c.shielded || g.header.Get("Meridian-Version") != "" {
			t.Errorf("%s, %s: %q, through the shield %v, %v", c.path, c.stage, g.body, through, g.header)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("the staged origin was asked %d times", asked.Load())
	}
}
