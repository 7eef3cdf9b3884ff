package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"meridian"
	"meridian/gateway"
	"meridian/gateway/placement"
	"meridian/identity"
	"meridian/topology"
)

// atlas is a map of two regions, of which us-east-1 is the primary's.
func atlas(change func(primary *topology.Region)) *topology.Map {
	s := &topology.Snapshot{
		Regions: []topology.Region{{Name: "us-east-1", Primary: true, Healthy: true}, {Name: "eu-west-1", Healthy: true}},
		Links:   []topology.Link{{From: "eu-west-1", To: "us-east-1", RTT: 70 * time.Millisecond}},
	}
	if change != nil {
		change(&s.Regions[0])
	}
	m := &topology.Map{}
	m.Publish(s)
	return m
}

// A pair is a gateway in eu-west-1 that places everything with the one in
// us-east-1, over HTTP/2, unless a test says otherwise.
type pair struct {
	home, primary *world
	way           http.RoundTripper // to the primary's gateway
	sent          *http.Request     // the last on the way
	deaf          bool              // answers are lost on the way
}

func newPair(t *testing.T, home, primary *functions, change func(*gateway.Config, *gateway.Deps)) *pair {
	t.Helper()
	p := &pair{}
	p.primary = newWorld(t, primary, func(c *gateway.Config, d *gateway.Deps) {
		c.Region, d.Map, d.Forward = "us-east-1", atlas(nil), nowhere
		if change != nil {
			change(c, d)
		}
		c.Region, c.Placement = "us-east-1", ""
	})
	p.way = dial(t, p.primary.Inner())
	p.home = newWorld(t, home, func(c *gateway.Config, d *gateway.Deps) {
		c.Placement, d.Map = placement.Primary, atlas(nil)
		d.Forward = func(context.Context, meridian.Region) (http.RoundTripper, error) { return p, nil }
		if change != nil {
			change(c, d)
		}
	})
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *pair) RoundTrip(r *http.Request) (*http.Response, error) {
	p.sent = r
	resp, err := p.way.RoundTrip(r)
	if err == nil && p.deaf {
		resp.Body.Close()
		return nil, errors.New("the connection broke")
	}
	return resp, err
}

func nowhere(context.Context, meridian.Region) (http.RoundTripper, error) {
	return nil, errors.New("there is no other region")
}

// dial serves a handler as the backbone does and returns one connection to it.
func dial(t *testing.T, h http.Handler) http.RoundTripper {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	tr := &http.Transport{Protocols: srv.Config.Protocols, DisableCompression: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}}
	c, err := tr.NewClientConn(t.Context(), "http", "us-east-1:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// odd are targets that a cleaner of URLs would change.
var odd = []string{"/pets/a%2Fb%20c?x=1&x=2&y=%20z", "/pets/%41", "/pets/a//b", "//pets", "/pets/?", "/pets/x?", "/pets/../x?a?b", "/pets/caf%C3%A9;v=1?=&&"}

// The function sees the same event whichever region it runs in.
func TestAPlacedRequestIsTheSameEvent(t *testing.T) {
	p := newPair(t, &functions{}, &functions{}, func(c *gateway.Config, _ *gateway.Deps) {
		c.API = []byte("openapi: 3.1.0\nx-meridian-function: pets\npaths: {/$default: {x-amazon-apigateway-any-method: {}}}\n")
		c.Authorizers = nil
	})
	alone := newWorld(t, &functions{}, func(c *gateway.Config, _ *gateway.Deps) {
		c.API = []byte("openapi: 3.1.0\nx-meridian-function: pets\npaths: {/$default: {x-amazon-apigateway-any-method: {}}}\n")
		c.Authorizers = nil
	})
	headers := []string{"Content-Type", "application/json", "X-Two", "a", "X-Two", "b", "Cookie", "c=3; d=4; Meridian-Consistency=pets:7:1:20",
		"Authorization", "Token t", "X-Api-Key", "k", "Via", "1.0 proxy", "X-Forwarded-For", "203.0.113.9", "Accept-Encoding", "br", "Meridian-Secret", "x"}
	edge := append(headers, "Meridian-Request", "from-the-edge", "X-Forwarded-Proto", "https", "X-Forwarded-Port", "8443", "Via", "2.0 sa-east-1.meridian")
	for _, target := range odd {
		for _, public := range []bool{true, false} {
			doors, extra := [2]*httptest.Server{p.home.inner, alone.inner}, edge
			if public {
				doors, extra = [2]*httptest.Server{p.home.public, alone.public}, headers
			}
			p.home.ask(doors[0], "POST", target, `{"a":"b"}`, extra...).want(t, 200, "ok")
			alone.ask(doors[1], "POST", target, `{"a":"b"}`, extra...).want(t, 200, "ok")
			there, here := p.primary.fns.last(t), alone.fns.last(t)
			if d := cmp.Diff(timeless(t, here.Event), timeless(t, there.Event)); d != "" {
				t.Errorf("%s, public %v: event at home and in the primary's region:\n%s", target, public, d)
			}
			if d := cmp.Diff(here.Floor, there.Floor); d != "" {
				t.Errorf("%s, public %v: floor: %s", target, public, d)
			}
		}
	}
	if n := p.home.fns.count(); n != 0 {
		t.Errorf("%d requests ran at home", n)
	}
}

// timeless reads an event without what differs between any two requests.
func timeless(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	c := e["requestContext"].(map[string]any)
	delete(c, "time")
	delete(c, "timeEpoch")
	if id := c["requestId"].(string); id != "from-the-edge" {
		delete(c, "requestId")
	}
	return e
}

func TestThePlacedAnswerComesBackUnchanged(t *testing.T) {
	seen := meridian.Observation{Token: meridian.Token{Database: "pets", System: 7, Timeline: 1, LSN: 0x30}, Trips: 3}
	out := `{"statusCode":418,"headers":{"Content-Type":"text/odd","X-One":"1","Meridian-Trips":"9"},"cookies":["a=1","b=2"],"body":"short and stout"}`
	p := newPair(t, &functions{}, always(out, seen), nil)
	for _, door := range []*httptest.Server{p.home.inner, p.home.public} {
		a := p.home.ask(door, "POST", "/pets", "x", "Meridian-Consistency", "pets:7:1:20", "Meridian-Request", "r1")
		a.want(t, 418, "short and stout")
		cookies := "a=1 | b=2"
		if door == p.home.public {
			cookies += " | Meridian-Consistency=pets:7:1:30; Path=/; HttpOnly; Secure; SameSite=Lax"
		}
		for name, want := range map[string]string{
			"Content-Type": "text/odd", "X-One": "1", "Set-Cookie": cookies, "Content-Length": "15", "Meridian-Region": "us-east-1",
			"Meridian-Consistency": "pets:7:1:30", "Meridian-Trips": "", "Meridian-Load": "", "Meridian-Unplaced": "",
		} {
			a.header(t, name, want)
		}
		if id := p.primary.fns.last(t).ID; len(a.Header.Values("Apigw-Requestid")) != 1 || a.Header.Get("Apigw-Requestid") != id {
			t.Errorf("apigw-requestid %v, invocation %s", a.Header.Values("Apigw-Requestid"), id)
		}
	}
	p.home.ask(p.home.public, "HEAD", "/old/x", "").want(t, 418, "")
	a := newPair(t, &functions{}, always(`{"statusCode":204}`, seen), nil)
	a.home.ask(a.home.public, "POST", "/pets", "").want(t, 204, "")
}

func TestTheTripLeavesTimeForTheAnswer(t *testing.T) {
	p := newPair(t, &functions{}, &functions{}, nil)
	p.home.ask(p.home.inner, "POST", "/pets", "", "Meridian-Time-Left", "1000").want(t, 200, "ok")
	left, err := time.ParseDuration(p.sent.Header.Get("Meridian-Time-Left") + "ms")
	if err != nil || left > 930*time.Millisecond || left < 500*time.Millisecond {
		t.Errorf("Meridian-Time-Left %v, %v; want 1 s less the round trip and what was spent", left, err)
	}
	p.home.ask(p.home.inner, "POST", "/pets", "", "Meridian-Time-Left", "100").want(t, 200, "ok")
	if p.home.fns.count() != 1 {
		t.Error("a request with less than two round trips to go left home")
	}
	if p.sent.GetBody != nil {
		t.Error("net/http could send the request twice")
	}
}

// Both regions verify, whichever door the caller came through.
func TestBothRegionsVerifyTheCaller(t *testing.T) {
	s := newSecured(t)
	p := newPair(t, &functions{}, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Verify, d.Open = s.verify, s.open })
	p.home.ask(p.home.public, "GET", "/private?q=1", "", "X-Api-Key", s.key).want(t, 200, "ok")
	p.home.ask(p.home.inner, "GET", "/private?q=1", "", "X-Api-Key", s.key).want(t, 200, "ok")
	sealed := s.seal(&identity.Principal{Kind: identity.KindAPIKey, ID: s.id, Name: "ann"}, "/private")
	p.home.ask(p.home.inner, "GET", "/private?q=1", "", sealed...).want(t, 200, "ok")
	if l := p.primary.fns.event(t).RequestContext.Authorizer.Lambda; l["apiKeyId"] != s.id {
		t.Errorf("authorizer %v", l)
	}
	n := p.primary.fns.count()
	p.home.ask(p.home.public, "GET", "/private", "", append(sealed, "X-Api-Key", "junk")...).want(t, 403, forbidden)
	if p.sent.Header.Get("Meridian-Identity") == "" || p.primary.fns.count() != n {
		t.Error("a stranger's seal, or a refused request, went on")
	}
}

// failing is a way on which every request fails.
type failing struct {
	err  error
	wait bool // until the request is given up
}

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.wait {
		<-r.Context().Done()
	}
	return nil, f.err
}

func TestWhatMayHaveBeenExecutedIsNeverRunAgain(t *testing.T) {
	cut := errors.New("the connection broke")
	for name, tt := range map[string]struct {
		way    http.RoundTripper
		path   string
		status int
		home   int // invocations there
	}{
		"it may have been sent":     {failing{err: cut}, "/pets", 503, 0},
		"it was surely not":         {failing{err: &gateway.Unsent{Err: cut}}, "/pets", 200, 1},
		"the answer is late":        {failing{err: cut, wait: true}, "/late", 504, 0},
		"it is late and was unsent": {failing{err: &gateway.Unsent{Err: cut}, wait: true}, "/late", 200, 1},
	} {
		p := newPair(t, &functions{}, &functions{}, func(c *gateway.Config, _ *gateway.Deps) {
			c.API = []byte(strings.Replace(api, "  /slow:", "  /late:\n    post:\n      x-amazon-apigateway-integration: {type: aws_proxy, uri: pets, timeoutInMillis: 150}\n  /slow:", 1))
		})
		p.way = tt.way
		a := p.home.ask(p.home.public, "POST", tt.path, "x")
		a.want(t, tt.status, "")
		if tt.status >= 500 && !strings.Contains(a.body, "may have executed") {
			t.Errorf("%s: %s", name, a.body)
		}
		if n := p.home.fns.count(); n != tt.home {
			t.Errorf("%s: %d invocations at home, want %d", name, n, tt.home)
		}
	}
}

func TestAnAnswerThatBreaksOffIsSeenToBreak(t *testing.T) {
	p := newPair(t, &functions{}, &functions{}, nil)
	p.way = dial(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("half"))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	r, _ := http.NewRequestWithContext(t.Context(), "POST", p.home.public.URL+"/pets", nil)
	res, err := p.home.public.Client().Do(r)
	if err == nil {
		_, err = res.Body.Read(make([]byte, 4))
		for err == nil {
			_, err = res.Body.Read(make([]byte, 4))
		}
		res.Body.Close()
	}
	if err == nil || err.Error() == "EOF" {
		t.Errorf("half an answer passed for a whole one: %v", err)
	}
}

// What no function of the primary's region got may run at home.
func TestARequestWithoutASlotRunsAtHome(t *testing.T) {
	p := newPair(t, &functions{}, fails(meridian.WithKind(meridian.Throttled, errors.New("no slot"))), nil)
	a := p.home.ask(p.home.public, "POST", "/pets", "x")
	a.want(t, 200, "ok")
	a.header(t, "Meridian-Region", "eu-west-1")
	a.header(t, "Meridian-Unplaced", "")
	crashed := newPair(t, &functions{}, fails(meridian.WithKind(meridian.Crashed, errors.New("exit status 2"))), nil)
	crashed.home.ask(crashed.home.public, "POST", "/pets", "x").want(t, 500, internalError)
	if crashed.home.fns.count() != 0 {
		t.Error("a request that a function crashed on ran again")
	}
	p.primary.ask(p.primary.inner, "POST", "/pets", "x").want(t, 429, "")
}

func TestRequestsStayWhileThePrimaryIsAway(t *testing.T) {
	for name, change := range map[string]func(*topology.Region){
		"not healthy": func(r *topology.Region) { r.Healthy = false },
		"drained":     func(r *topology.Region) { r.Drained = true },
		"unknown":     func(r *topology.Region) { r.Primary = false },
		"here":        func(r *topology.Region) { r.Name = "eu-west-1" },
	} {
		p := newPair(t, &functions{}, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Map = atlas(change) })
		if p.home.ask(p.home.public, "POST", "/pets", "").want(t, 200, "ok"); p.home.fns.count() != 1 {
			t.Errorf("%s: the request left", name)
		}
	}
}

// The route is learned from what ran in either region, and the decision shows.
func TestRoutesThatWriteMoreThanOnceMove(t *testing.T) {
	trips := meridian.Observation{Forwarded: 3, Trips: 3}
	reg := prometheus.NewRegistry()
	p := newPair(t, always(`{"statusCode":200,"body":"ok"}`, trips), always(`{"statusCode":200,"body":"ok"}`, meridian.Observation{Trips: 3}), func(c *gateway.Config, d *gateway.Deps) {
		c.Placement = placement.Auto
		if c.Region == "eu-west-1" {
			d.Metrics = reg
		}
	})
	for i := range 21 {
		a := p.home.ask(p.home.public, "GET", "/pets", "")
		if want := []string{"eu-west-1", "us-east-1"}[min(i, 1)]; a.Header.Get("Meridian-Region") != want && i != 9 {
			t.Errorf("request %d ran in %s", i+1, a.Header.Get("Meridian-Region"))
		}
	}
	want := "# HELP meridian_gateway_placements_total Requests by where their function ran, and the rule that decided.\n# TYPE meridian_gateway_placements_total counter\n" +
		`meridian_gateway_placements_total{rule="explored",where="home"} 1` + "\n" +
		`meridian_gateway_placements_total{rule="trips",where="home"} 1` + "\n" +
		`meridian_gateway_placements_total{rule="trips",where="primary"} 19` + "\n"
	p.home.public.Close() // waits for the handlers
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "meridian_gateway_placements_total"); err != nil {
		t.Error(err)
	}
}

// Shared counts of the primary's region are no lesson.
func TestSharedCountsAreNotTold(t *testing.T) {
	for _, shared := range []bool{false, true} {
		p := newPair(t, &functions{}, always(`{"statusCode":200,"body":"ok"}`, meridian.Observation{Trips: 1, Shared: shared}), nil)
		a := p.primary.ask(p.primary.inner, "POST", "/pets", "", "Meridian-Placed", "eu-west-1")
		a.header(t, "Meridian-Trips", map[bool]string{false: "1", true: ""}[shared])
	}
}

// A busy primary keeps those away who gain least, until the news of it fades.
func TestTheLoadIsToldAndHeeded(t *testing.T) {
	release := make(chan struct{})
	busy := &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		<-release
		return says(`{"statusCode":200,"body":"ok"}`), nil
	}}
	p := newPair(t, &functions{}, busy, func(c *gateway.Config, _ *gateway.Deps) {
		c.Placement = placement.Auto
		c.Functions = map[string]gateway.FunctionLimits{"pets": {AtOnce: 1}}
	})
	done := make(chan answer)
	for range 2 {
		go func() { done <- p.home.ask(p.home.public, "POST", "/pets", "") }() // awaited below
	}
	release <- struct{}{} // the other is still in flight when this one's answer tells the load
	if a := <-done; a.Header.Get("Meridian-Region") != "us-east-1" {
		t.Error("it ran at home")
	}
	if a := p.home.ask(p.home.public, "POST", "/pets", ""); a.Header.Get("Meridian-Region") != "eu-west-1" {
		t.Error("it went to a primary without a free slot")
	}
	close(release)
	<-done
}

// The decision and its reason are in the span of the gateway, and in that of
// the trip; what runs in the other region hangs below it.
func TestTheDecisionIsInTheTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	out := &lines{more: make(chan struct{}, 10)}
	p := newPair(t, &functions{}, &functions{}, func(c *gateway.Config, d *gateway.Deps) {
		d.Tracer = provider.Tracer(string(c.Region))
		if c.Region == "eu-west-1" {
			d.Log = slog.New(slog.NewJSONHandler(out, nil))
		}
	})
	p.home.ask(p.home.inner, "POST", "/pets", "", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if r := out.last(t); r["placed"] != "us-east-1" || r["placedWhy"] != "its route says primary" || r["trips"] != 0.0 {
		t.Errorf("record %v", r)
	}
	p.home.inner.Close() // waits for the handlers
	p.primary.inner.Close()
	found := map[string]map[string]string{}
	parent := map[string]string{}
	ids := map[string]string{}
	for _, s := range spans.Ended() {
		name := s.InstrumentationScope().Name + " " + s.Name()
		ids[s.SpanContext().SpanID().String()] = name
		found[name] = map[string]string{}
		for _, kv := range s.Attributes() {
			found[name][string(kv.Key)] = kv.Value.String()
		}
	}
	for _, s := range spans.Ended() {
		parent[s.InstrumentationScope().Name+" "+s.Name()] = ids[s.Parent().SpanID().String()]
	}
	if parent["us-east-1 gateway"] != "eu-west-1 forward" || parent["eu-west-1 forward"] != "eu-west-1 gateway" {
		t.Errorf("parents %v", parent)
	}
	for name, want := range map[string][2]string{
		"eu-west-1 gateway": {"us-east-1", "static path, exact method; its route says primary"},
		"eu-west-1 forward": {"us-east-1", "its route says primary"},
		"us-east-1 gateway": {"us-east-1", "static path, exact method; eu-west-1 placed it here"},
	} {
		if got := [2]string{found[name]["placed"], found[name]["why"]}; got != want {
			t.Errorf("%s: placed, why = %q, want %q", name, got, want)
		}
	}
}
