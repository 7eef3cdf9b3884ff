package edge

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/origin"
	"meridian/identity"
)

// A stranger is an HTTP server that somebody else runs.
func stranger(t testing.TB, h2 bool, serve http.HandlerFunc) (*httptest.Server, origin.CustomConfig) {
	t.Helper()
	s := httptest.NewUnstartedServer(serve)
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	cfg := origin.CustomConfig{Name: "assets"}
	if h2 {
		s.StartTLS()
		cfg.Roots = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.URL = u
	return s, cfg
}

// behaviors configures an edge with an origin beside its regions.
func behaviors(o origin.CustomConfig, bs ...Behavior) option {
	return func(c *Config, _ *Deps, _ *world) { c.Behaviors, c.Origins = bs, []origin.CustomConfig{o} }
}

func TestABehaviorSendsItsPathsToItsOrigin(t *testing.T) {
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		_, o := stranger(t, h2, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "assets %s %s %s %s", r.Proto, r.Method, r.RequestURI, body)
		})
		host := o.URL.Host
		o.URL = o.URL.JoinPath("/bucket")
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "/assets/*", Origin: "assets"}))
		for _, target := range []string{"/assets/a//b%2F..?x=%zz&a=b+c", "/assets/%41%7e~|^`?", "/assets/?a=?b=?c"} {
			text := w.raw("POST " + target + " HTTP/1.1\r\nHost: API.Example.test:8443\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
			if want := "assets " + proto + " POST /bucket" + target + " hi"; !strings.HasSuffix(text, want) {
				t.Errorf("%s: %q, want %q", target, text, want)
			}
		}
		if got := w.do("GET", "/assetsx", ""); got.body != "eu-west-1 GET api.example.test /assetsx " {
			t.Errorf("what no pattern matches: %s", got.body)
		}
		for _, want := range []string{`behavior=/assets/*`, `policy="without credentials"`, "region=assets", `why="the behaviour names it"`, "behavior=*"} {
			w.until("logged "+want, func() bool { return strings.Contains(w.log.String(), want) })
		}
		if strings.Contains(w.log.String(), host+":") {
			t.Errorf("an error: %s", w.log)
		}
	}
}

func TestPathsThatBeginWithTwoSlashesPassByteForByte(t *testing.T) {
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "assets "+r.RequestURI) })
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for target, want := range map[string]string{"//a/./b%2F?x": "//a/./b%2F?x", "//": "//", "/": "/", "//a|b": "http://" + o.URL.Host + "//a|b"} {
		if text := w.raw("GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(text, "assets "+want) {
			t.Errorf("%s: %q", target, text)
		}
	}
}

// A stranger hears nothing that is between nodes, nor the viewer's credentials.
func TestAnOriginOfYourOwnIsSentNoIdentity(t *testing.T) {
	saw := make(chan *http.Request, 10)
	_, o := stranger(t, false, func(_ http.ResponseWriter, r *http.Request) { saw <- r })
	o.Headers = http.Header{"X-Origin-Verify": {"secret"}, "Accept": {"image/avif"}}
	o.HostHeader = "assets.example.test"
	send := func(p RequestPolicy) *http.Request {
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets", Request: p}), func(_ *Config, d *Deps, _ *world) {
			d.Key = func() identity.EdgeKey {
				return identity.EdgeKey{ID: "k", Secret: []byte("0123456789abcdef0123456789abcdef")}
			}
			d.Verify = always{}
		})
		w.do("GET", "/x", "", "Authorization", "Bearer t", "X-Api-Key", "k", "Cookie", "sid=1", "X-Origin-Verify", "guess", "Accept", "*/*", "Accept-Language", "de",
			"Meridian-Identity", "forged", "Meridian-Consistency", "db:1:1:1")
		return <-saw
	}
	r := send(RequestPolicy{})
	for name := range r.Header {
		if internal(name) {
			t.Errorf("%s was sent", name)
		}
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie"} {
		if v := r.Header.Get(name); v != "" {
			t.Errorf("%s: %s was sent", name, v)
		}
	}
	for name, want := range map[string]string{"X-Origin-Verify": "secret", "Accept": "image/avif", "Accept-Language": "de", "X-Forwarded-Host": ""} {
		if got := strings.Join(r.Header[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.Host != "assets.example.test" || len(r.Header.Get("X-Meridian-Request")) != 36 || r.Header.Get("Traceparent") == "" || r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("host %s, %v", r.Host, r.Header)
	}
	// Control: a policy that lets all pass does, but for what is between nodes.
	r = send(RequestPolicy{Name: "AllViewer", Headers: all, Cookies: all, Query: all})
	if r.Host != domain || r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("Cookie") != "sid=1" || r.Header.Get("X-Origin-Verify") != "secret" || r.Header.Get(identity.HeaderIdentity) != "" {
		t.Errorf("with AllViewer: host %s, %v", r.Host, r.Header)
	}
}

// always verifies everybody.
type always struct{}

func (always) Verify(http.Header) (*identity.Principal, error) {
	return &identity.Principal{Kind: "key", ID: "somebody"}, nil
}

// A stranger can set no token, and speak for no region.
func TestAnOriginOfYourOwnIsNotBelieved(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		_, o := stranger(t, h2, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Trailer", "Meridian-Consistency, X-Sum")
			for name, v := range map[string]string{
				"Meridian-Consistency": "db:1:1:99", "Meridian-Region": "mars", "Meridian-Not-Serving": "1", "X-Meridian-Request": "mine",
				"X-Meridian-Edge": "mars", "Alt-Svc": `h3=":1"`, "X-Keep": "yes",
			} {
				h.Set(name, v)
			}
			h["Set-Cookie"] = []string{"Meridian-Consistency=db:1:1:1; Path=/", identity.CookieConsistency + "=x", "sid=1"}
			w.WriteHeader(503)
			io.WriteString(w, "text")
			h.Set("X-Sum", "1")
			h.Set("Meridian-Consistency", "db:1:1:99")
			h.Set(http.TrailerPrefix+"Meridian-Stale", "1")
		})
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
		got := w.do("GET", "/x", "")
		for _, h := range []http.Header{got.header, got.trailer} {
			for name := range h {
				if internal(name) {
					t.Errorf("%s: %s passed", name, h[name])
				}
			}
		}
		if got.status != 503 || got.header.Get("X-Keep") != "yes" || got.header.Get("X-Meridian-Edge") != "eu-west-1" || got.header.Get("X-Meridian-Request") == "mine" || got.header.Get("Alt-Svc") == `h3=":1"` || got.trailer.Get("X-Sum") != "1" {
			t.Errorf("%d %v %v", got.status, got.header, got.trailer)
		}
		if c := strings.Join(got.header["Set-Cookie"], "|"); strings.Contains(c, identity.CookieConsistency+"=") || !strings.Contains(c, "sid=1") {
			t.Errorf("cookies %s", c)
		}
	}
}

func TestAPolicyHoldsForARegionToo(t *testing.T) {
	g, saw := capturing()
	p := RequestPolicy{Name: "few", Headers: allow("Accept"), Query: allow("a")}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.Behaviors = []Behavior{{Path: "/few", Request: p}} })
	w.raw("GET /few?a=1&b=2 HTTP/1.1\r\nHost: other.test\r\nAccept: x\r\nAuthorization: Bearer t\r\nCookie: a=1\r\nConnection: close\r\n\r\n")
	r := <-saw
	if r.Host != domain || r.RequestURI != "/few?a=1" || r.Header.Get("Accept") != "x" || r.Header.Get("Authorization")+r.Header.Get("Cookie") != "" || r.Header.Get(identity.HeaderRequest) == "" {
		t.Errorf("%s %s %v", r.Host, r.RequestURI, r.Header)
	}
	w.raw("GET /few?b=2 HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n")
	if r := <-saw; r.RequestURI != "/few" {
		t.Errorf("%s", r.RequestURI)
	}
	w.raw("GET /all?b=2 HTTP/1.1\r\nHost: other.test\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n")
	if r := <-saw; r.Host != "other.test" || r.RequestURI != "/all?b=2" || r.Header.Get("Authorization") == "" {
		t.Errorf("%s %s %v", r.Host, r.RequestURI, r.Header)
	}
}

func TestABehaviorTakesItsMethodsOnly(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/read*", Methods: []string{"GET", "HEAD"}}}
	})
	if got := w.do("POST", "/read", "x"); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" || !strings.Contains(got.body, `"requestId":"`) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if got := w.do("GET", "/read", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.do("POST", "/rea", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestAnOriginThatIsDownOrSlowIsAnsweredFor(t *testing.T) {
	hold := make(chan struct{})
	s, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-hold
		case "/break":
			panic(http.ErrAbortHandler)
		}
	})
	o.ResponseTimeout = 50 * time.Millisecond
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for _, tt := range []struct {
		method, path string
		status       int
		message      string
	}{
		{"GET", "/slow", 504, "The origin did not answer in time."},
		{"POST", "/break", 502, "The origin broke off before it answered. The request may have been executed."},
		{"GET", "/", 200, ""},
	} {
		if got := w.do(tt.method, tt.path, ""); got.status != tt.status || !strings.Contains(got.body, tt.message) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, got.status, got.body)
		}
	}
	close(hold)
	s.Close()
	// A write that goes out before the end of its connection is noticed may have
	// been executed, and is answered 502.
	var got got
	w.until("down", func() bool { got = w.do("POST", "/", "x"); return got.status != 502 })
	if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "The origin could not be reached.") {
		t.Errorf("down: %d %s", got.status, got.body)
	}
	if w.until("logged", func() bool { return strings.Contains(w.log.String(), "an origin did not answer") }); strings.Contains(w.log.String(), "a region did not answer") {
		t.Errorf("%s", w.log)
	}
}

func TestBehaviorsThatCannotWorkAreRefused(t *testing.T) {
	for _, b := range []Behavior{{Path: ""}, {Path: strings.Repeat("x", 256)}, {Path: "/a", Origin: "nobody"}} {
		if _, err := New(Config{Place: "a", HTTPS: ":0", Behaviors: []Behavior{b}}, Deps{}); err == nil || !strings.Contains(err.Error(), "behavior") {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

// An origin breaks off each first try, having executed it. Control: with a
// retry policy without the guard, the write is executed again.
func TestAWriteToAnOriginIsNeverExecutedTwice(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		retry        func(origin.Attempt) origin.Verdict
		arrived      int64
	}{
		{"a read", "GET", origin.Retry, 2},
		{"a write", "POST", origin.Retry, 1},
		{"control", "POST", func(a origin.Attempt) origin.Verdict { return origin.Verdict{Again: a.Tries < 2} }, 2},
	} {
		for _, h2 := range []bool{false, true} {
			var n atomic.Int64
			_, o := stranger(t, h2, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if n.Add(1) == 1 {
					panic(http.ErrAbortHandler)
				}
			})
			w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
			w.Edge.retry = tt.retry
			w.do(tt.method, "/", "x", "Idempotency-Key", "1")
			if n.Load() != tt.arrived {
				t.Errorf("%s, h2 %t: arrived %d times, want %d", tt.name, h2, n.Load(), tt.arrived)
			}
		}
	}
}

// A status that is none would end the connection of who asked: net/http's server
// does not send it.
func TestAStatusThatIsNoneIsA502(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err == nil {
					fmt.Fprintf(c, "HTTP/1.1 %s Odd\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", strings.TrimPrefix(r.URL.Path, "/"))
				}
			}()
		}
	}()
	o := origin.CustomConfig{Name: "assets", URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, ConnectTimeout: time.Second, ResponseTimeout: 5 * time.Second, Connections: 8}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for status, want := range map[string]int{"000": 502, "007": 502, "099": 502, "999": 999, "200": 200} {
		if got, err := w.try(w.h1, "GET", "/"+status, ""); err != nil || got.status != want {
			t.Errorf("%s: %d, %v; want %d", status, got.status, err, want)
		}
	}
}
