package edge

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/edge/cache"
	"meridian/edge/origin"
	"meridian/identity"
	"meridian/topology"
)

func TestWhichMissesGoThroughTheShield(t *testing.T) {
	good := Shielding{Shield: "us-east-1", Place: "sa-east-1", Method: "GET", Stores: true, Up: true}
	for _, c := range []struct {
		change func(*Shielding)
		want   string // the reason; "" if it goes
	}{
		{func(*Shielding) {}, ""},
		{func(s *Shielding) { s.Method = "HEAD" }, ""},
		{func(s *Shielding) { s.Shield = "" }, "there is no shield"},
		{func(s *Shielding) { s.Inner = true }, "it came from another edge"},
		{func(s *Shielding) { s.Place = "us-east-1" }, "this is the shield"},
		{func(s *Shielding) { s.Method = "POST" }, "only GET and HEAD without a body are cached"},
		{func(s *Shielding) { s.Body = true }, "only GET and HEAD without a body are cached"},
		{func(s *Shielding) { s.Stores = false }, "its policy stores nothing"},
		{func(s *Shielding) { s.Unstored = true }, "the shield stored nothing of this path lately"},
		{func(s *Shielding) { s.Up = false }, "us-east-1 is down"},
		{func(s *Shielding) { s.State, s.Why = origin.Broken, "did not answer" }, "us-east-1 did not answer"},
		{func(s *Shielding) { s.State, s.Why = origin.Warming, "is let in again" }, "us-east-1 is let in again"},
		{func(s *Shielding) { s.State = origin.Cold }, "us-east-1 is not connected"},
	} {
		s := good
		c.change(&s)
		if through, why := ChooseShield(s); through != (c.want == "") || !through && why != c.want {
			t.Errorf("%+v: %v, %s; want %s", s, through, why, c.want)
		}
	}
}

// A shieldWorld is a shield at us-east-1 and edges before it, each a world, and
// what the one origin of all of them saw.
type shieldWorld struct {
	shield *world
	front  *region // the shield's door for edges
	edges  []*world
	asked  atomic.Int64
}

// newShieldWorld runs n edges beside the shield.
func newShieldWorld(t *testing.T, n int, serve http.HandlerFunc, opts ...option) *shieldWorld {
	t.Helper()
	s := &shieldWorld{}
	counted := func(w http.ResponseWriter, r *http.Request) { s.asked.Add(1); serve(w, r) }
	up := func(c *Config, d *Deps, _ *world) {
		m := *d.Map.Now()
		m.Edges = []topology.Edge{{Name: "us-east-1", Healthy: true}}
		d.Map = &topology.Map{}
		d.Map.Publish(&m)
		c.Shield = "us-east-1"
	}
	add := func(o ...option) *world {
		return newWorld(t, []*region{{name: "eu-west-1", serve: counted}}, append(append([]option{up}, o...), opts...)...)
	}
	s.shield = add(func(c *Config, _ *Deps, _ *world) { c.Place = "us-east-1" })
	s.front = &region{name: "us-east-1", serve: s.shield.Inner().ServeHTTP}
	s.front.start(t)
	t.Cleanup(s.front.kill)
	for range n {
		w := add(func(c *Config, d *Deps, _ *world) {
			d.DialShield = func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, "tcp", s.front.addr())
			}
		})
		if w.Edge.shield != nil {
			w.until("connected to the shield", func() bool { st, _ := w.Edge.shield.way.State("us-east-1"); return st == origin.Ready })
		}
		s.edges = append(s.edges, w)
	}
	return s
}

func cacheable(w http.ResponseWriter, body string) {
	w.Header().Set("Cache-Control", "max-age=600")
	fmt.Fprint(w, body)
}

// TestMissesOfAllEdgesAreOneRequest: many at once at four edges, all for the
// same. Control, in the same test: without the shield each edge asks.
func TestMissesOfAllEdgesAreOneRequest(t *testing.T) {
	ask := func(t *testing.T, opts ...option) int64 {
		s := newShieldWorld(t, 4, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(100 * time.Millisecond) // so that many are there before it answers
			cacheable(w, "x")
		}, opts...)
		for _, e := range append(s.edges, s.shield) {
			e.do("GET", "/warm", "") // or each of many would make a connection
		}
		s.asked.Store(0)
		var all sync.WaitGroup
		for _, e := range append(s.edges, s.shield) {
			for range 100 {
				all.Go(func() {
					if g, err := e.try(e.h2, "GET", "/a", ""); err != nil || g.status != 200 || g.body != "x" {
						t.Errorf("%v: %d %q", err, g.status, g.body)
					}
				})
			}
		}
		all.Wait()
		return s.asked.Load()
	}
	if n := ask(t); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}
	if n := ask(t, func(_ *Config, d *Deps, _ *world) { d.DialShield = nil }); n != 5 {
		t.Errorf("without the shield the origin was asked %d times, want once by each of five edges", n)
	}
}

// What an edge stores is what the origin said: a policy of the shield's rules would
// outlive its place in them.
func TestTheShieldHandsOnWhatTheOriginSaid(t *testing.T) {
	s := newShieldWorld(t, 1, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "mine"); cacheable(w, "x") }, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/*"}}
		if c.Place == "us-east-1" {
			c.Behaviors[0].Response = &ResponsePolicy{Set: http.Header{"X-Frame-Options": {"DENY"}}, Remove: []string{"Server"}}
		}
	})
	got := s.edges[0].do("GET", "/a", "")
	if h := got.header; !strings.HasPrefix(h.Get("Cache-Status"), "us-east-1.meridian") || h.Get("X-Frame-Options") != "" || h.Get("Server") != "mine" {
		t.Errorf("%v", h)
	}
}

func TestTheShieldHandsOnAllThatMatters(t *testing.T) {
	var seen atomic.Pointer[http.Request]
	token := meridian.Token{Database: "hello", System: 7, Timeline: 1, LSN: 99}
	s := newShieldWorld(t, 1, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Meridian-Region", "eu-west-1")
		w.Header().Set(identity.HeaderConsistency, meridian.Tokens{token}.String())
		w.Header().Set("Trailer", "X-Sum")
		cacheable(w, "x")
		w.Header().Set("X-Sum", "7")
	}, func(_ *Config, d *Deps, _ *world) {
		d.Key = func() identity.EdgeKey {
			return identity.EdgeKey{ID: "edge#1", Secret: []byte("01234567890123456789012345678901")}
		}
		d.Verify = somebody{}
	})
	e := s.edges[0]
	early := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, _ textproto.MIMEHeader) error { early = status; return nil }})
	req, _ := http.NewRequestWithContext(ctx, "GET", e.url+"/a?b=%2f", nil)
	resp, err := e.h2.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	if _, err := body.WriteString(readAll(t, resp)); err != nil || body.String() != "x" {
		t.Errorf("body %q", body.String())
	}
	r := seen.Load()
	if r.RequestURI != "/a?b=%2f" || r.Host != domain {
		t.Errorf("the region was asked for %s at %s", r.RequestURI, r.Host)
	}
	if id := resp.Header.Get("X-Meridian-Request"); id == "" || r.Header.Get(identity.HeaderRequest) != id {
		t.Errorf("the request is %q to the client and %q to the region", id, r.Header.Get(identity.HeaderRequest))
	}
	opener := identity.NewOpener(time.Now)
	opener.SetKeys([]identity.EdgeKey{{ID: "edge#1", Secret: []byte("01234567890123456789012345678901")}})
	if _, err := opener.Open(r.Header.Get(identity.HeaderIdentity), identity.Binding{Method: "GET", Host: domain, Path: "/a", Query: "b=%2f", RequestID: r.Header.Get(identity.HeaderRequest)}); err != nil {
		t.Errorf("the region cannot open the identity that the first edge sealed: %v", err)
	}
	if v := strings.Join(r.Header["Via"], ", "); !strings.Contains(v, "eu-west-1.meridian, ") || !strings.HasSuffix(v, "us-east-1.meridian") {
		t.Errorf("Via: %s", v)
	}
	if r.Header.Get(identity.HeaderTimeLeft) == "" || r.Header.Get(headerPurged) != "" || len(r.Header["X-Forwarded-For"]) != 1 || strings.Contains(r.Header.Get("X-Forwarded-For"), ",") {
		t.Errorf("the region was sent %v", r.Header)
	}
	h := resp.Header
	if h.Get("X-Meridian-Edge") != "eu-west-1" || h.Get("Meridian-Region") != "eu-west-1" || h.Get(headerShield) != "" {
		t.Errorf("the client was sent %v", h)
	}
	if cs := strings.Join(h["Cache-Status"], ", "); !strings.HasPrefix(cs, "us-east-1.meridian; fwd=uri-miss") || !strings.Contains(cs, ", eu-west-1.meridian; fwd=uri-miss") {
		t.Errorf("Cache-Status: %s", cs)
	}
	if h.Get(identity.HeaderConsistency) == "" {
		t.Error("the token did not come through")
	}
	if early != http.StatusEarlyHints || resp.Trailer.Get("X-Sum") != "7" {
		t.Errorf("interim response %d, trailer %q", early, resp.Trailer.Get("X-Sum"))
	}
	e.do("GET", "/a?b=%2f", "") // has now seen what the first answer told
	if again := e.do("GET", "/a?b=%2f", ""); !strings.Contains(again.header.Get("Cache-Status")+again.header["Cache-Status"][len(again.header["Cache-Status"])-1], "hit") || s.asked.Load() != 2 {
		t.Errorf("the second request: %v, the origin was asked %d times", again.header["Cache-Status"], s.asked.Load())
	}
}

// somebody verifies everybody as one caller.
type somebody struct{}

func (somebody) Verify(http.Header) (*identity.Principal, error) {
	return &identity.Principal{ID: "u1", Kind: "jwt"}, nil
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestADeadShieldIsNotWaitedFor: it breaks, at most one request waits, and
// all are answered. Once it is back, misses go through it again.
func TestADeadShieldIsNotWaitedFor(t *testing.T) {
	s := newShieldWorld(t, 1, func(w http.ResponseWriter, r *http.Request) { cacheable(w, r.URL.Path) })
	e := s.edges[0]
	if g := e.do("GET", "/first", ""); len(g.header["Cache-Status"]) != 2 {
		t.Fatalf("the first request did not go through the shield: %v", g.header)
	}
	s.front.kill()
	slow := 0
	for i := range 50 {
		begin := time.Now()
		if g := e.do("GET", fmt.Sprint("/", i), ""); g.status != 200 || g.body != fmt.Sprint("/", i) {
			t.Fatalf("request %d: %d %q", i, g.status, g.body)
		}
		if time.Since(begin) > 500*time.Millisecond {
			slow++
		}
	}
	if slow > 1 {
		t.Errorf("%d of 50 requests waited for a dead shield", slow)
	}
	s.front.start(t)
	e.until("through the shield again", func() bool {
		g := e.do("GET", fmt.Sprint("/", time.Now().UnixNano()), "")
		return len(g.header["Cache-Status"]) == 2
	})
}

// TestWhatTheShieldCannotStoreGoesStraight: the first request of a path finds
// out, and the next do not take the longer way.
func TestWhatTheShieldCannotStoreGoesStraight(t *testing.T) {
	s := newShieldWorld(t, 1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, strings.Join(r.Header["Via"], ", "))
	})
	e := s.edges[0]
	if g := e.do("GET", "/a", ""); !strings.Contains(g.body, "us-east-1") {
		t.Errorf("the first came by %q, want through the shield", g.body)
	}
	if g := e.do("GET", "/a", ""); strings.Contains(g.body, "us-east-1") {
		t.Errorf("the second came by %q, want straight", g.body)
	}
	if g := e.do("POST", "/b", "x"); strings.Contains(g.body, "us-east-1") {
		t.Errorf("a POST came by %q, want straight", g.body)
	}
}

// TestTheShieldDoesNotUndoAPurge: an edge that has applied a purge asks a shield
// that has not. Control, in the same test: if the edge does not say so, it gets
// what was purged.
func TestTheShieldDoesNotUndoAPurge(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		var version atomic.Int64
		s := newShieldWorld(t, 1, func(w http.ResponseWriter, _ *http.Request) { cacheable(w, fmt.Sprint(version.Load())) },
			func(c *Config, d *Deps, _ *world) {
				if !guarded {
					return
				}
				if c.Place == "us-east-1" {
					d.After = func(recent string) time.Time {
						if recent == "p" {
							return time.Now()
						}
						return time.Time{}
					}
				} else {
					d.Recent = func() string {
						if version.Load() > 0 {
							return "p"
						}
						return ""
					}
				}
			})
		e := s.edges[0]
		if g := e.do("GET", "/a", ""); g.body != "0" {
			t.Fatalf("got %q", g.body)
		}
		version.Store(1)
		e.Purge(cache.Purge{ID: "p", Path: "/a"})
		if g := e.do("GET", "/a", ""); (g.body == "1") != guarded {
			t.Errorf("guarded %v: after the purge the edge answers with version %s", guarded, g.body)
		}
	}
}
