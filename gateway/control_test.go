package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian"
	"meridian/gateway/ledger"
	"meridian/gateway/placement"
	"meridian/identity"
	"meridian/topology"
)

// recorder is an Invoker that keeps the last invocation, and the way to another
// region, on which all requests may have been executed.
type recorder struct {
	last  meridian.Invocation
	left  bool // a request went to the other region
	reach func(*http.Request) (*http.Response, error)
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.left = true; r.reach != nil {
		return r.reach(req)
	}
	return nil, errors.New("the connection broke")
}

// worldWithPrimary is a map with the primary elsewhere.
func worldWithPrimary() *topology.Map {
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: "us-east-1", Primary: true, Healthy: true}}})
	return m
}

func (r *recorder) Invoke(_ context.Context, in meridian.Invocation) (meridian.Answer, error) {
	r.last = in
	return meridian.Answer{Body: io.NopCloser(strings.NewReader(`{}`))}, nil
}

// promises are what the gateway guarantees, each with the guard that keeps it.
var promises = []struct {
	name  string
	guard guard
	kept  func(*Gateway, *recorder) bool
	away  bool // the primary is elsewhere, and every request is placed there
}{
	{"a token becomes the floor (guarantee 1)", withoutFloor, func(g *Gateway, r *recorder) bool {
		ask(g.Inner(), identity.HeaderConsistency, "pets:7:1:20")
		return len(r.last.Floor) == 1
	}, false},
	{"a token that no region gave is not believed", withoutSeal, func(g *Gateway, r *recorder) bool {
		g.deps.TokenKeys = func() meridian.TokenKeys { return meridian.TokenKeys{{ID: "00000001", Secret: []byte("secret")}} }
		ask(g.Inner(), identity.HeaderConsistency, "pets:7:1:20")
		return len(r.last.Floor) == 0
	}, false},
	{"a stranger cannot choose the request id", withoutStrip, func(g *Gateway, r *recorder) bool {
		ask(g.Public(), identity.HeaderRequest, "mine")
		return r.last.ID != "mine"
	}, false},
	{"a stranger's Meridian-Identity says nothing (guarantee 7)", withoutStrip, func(g *Gateway, _ *recorder) bool {
		return ask(g.Public(), identity.HeaderIdentity, "stolen") == http.StatusForbidden
	}, false},
	{"a route that asks for a key is shut without one", withoutAdmit, func(g *Gateway, r *recorder) bool {
		ask(g.Inner(), "X-Api-Key", "")
		return r.last.ID == ""
	}, false},
	{"a request that was placed here is not placed again", withoutOnce, func(g *Gateway, r *recorder) bool {
		r.reach = func(*http.Request) (*http.Response, error) { return nil, &Unsent{errors.New("no way")} }
		ask(g.Inner(), headerPlaced, "us-east-1")
		return !r.left
	}, true},
	{"a stranger cannot say where his request was placed", withoutStrip, func(g *Gateway, r *recorder) bool {
		ask(g.Public(), headerPlaced, "us-east-1")
		return r.left
	}, true},
	{"nothing is served to whose write is lost before it is told", withoutFate, func(g *Gateway, r *recorder) bool {
		g.deps.Fate = func(context.Context, meridian.Token) meridian.Fate {
			return meridian.Fate{Is: meridian.Lost, Why: "lost", Fresh: meridian.Token{Database: "pets", System: 7, Timeline: 2, LSN: 0x10}}
		}
		return ask(g.Inner(), identity.HeaderConsistency, "pets:7:1:20") == http.StatusConflict && r.last.ID == ""
	}, false},
	{"what was executed by its key is not executed again (guarantee 4)", withoutOnly, func(g *Gateway, r *recorder) bool {
		g.deps.Ledger = &oneEntry{}
		post := func() {
			q := httptest.NewRequest("POST", "/", nil)
			q.Header.Set("Idempotency-Key", "k")
			g.Inner().ServeHTTP(httptest.NewRecorder(), q)
		}
		post()
		first := r.last.ID
		post()
		return first != "" && r.last.ID == first
	}, false},
	{"what may have been executed elsewhere is not run again (guarantee 4)", withoutDoubt, func(g *Gateway, r *recorder) bool {
		return ask(g.Inner(), "X-Any", "1") == http.StatusServiceUnavailable && r.last.ID == ""
	}, true},
}

// oneEntry is a ledger with room for one request.
type oneEntry struct {
	claim  ledger.Claim
	answer *ledger.Answer
}

func (o *oneEntry) Claim(_ context.Context, c ledger.Claim) (ledger.Entry, error) {
	if o.claim.ID == "" {
		o.claim = c
	}
	return ledger.Entry{Mine: c.ID == o.claim.ID, Print: o.claim.Print, Done: o.answer != nil, Answer: o.answer}, nil
}

func (o *oneEntry) Settle(_ context.Context, _ ledger.Claim, a ledger.Answer) (bool, error) {
	o.answer = &a
	return true, nil
}

func (o *oneEntry) Touch(context.Context, ledger.Claim) (meridian.Token, error) {
	return meridian.Token{}, nil
}
func (o *oneEntry) Take(context.Context, ledger.Claim, string) error { return nil }

func (o *oneEntry) Release(context.Context, ledger.Claim) error { return nil }

// ask sends a request for the keyed route if the header is a credential, for
// the open one if not, and returns the status.
func ask(h http.Handler, name, value string) int {
	path := "/"
	if name == identity.HeaderIdentity || name == identity.HeaderAPIKey {
		path = "/keyed"
	}
	r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
	r.Header.Set(name, value)
	h.ServeHTTP(w, r)
	return w.Code
}

// opened is an Opener that takes every seal for good.
type opened struct{}

func (opened) Open(string, identity.Binding) (*identity.Principal, error) {
	return &identity.Principal{Kind: identity.KindAPIKey, ID: "k1"}, nil
}

const twoRoutes = `
openapi: 3.1.0
x-meridian-function: f
paths: {/: {get: {}, post: {}}, /keyed: {get: {security: [{key: []}]}}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: x-api-key}}}
`

// TestEachPromiseHasItsGuard is the promise and its negative control: with the
// guard on it is kept, and with the guard off it is broken.
func TestEachPromiseHasItsGuard(t *testing.T) {
	for _, p := range promises {
		for _, off := range []guard{allGuardsOn, p.guard} {
			r := &recorder{}
			c := Config{API: []byte(twoRoutes), Functions: map[string]FunctionLimits{"f": {}}}
			d := Deps{Invoke: r, Open: opened{}}
			if p.away {
				c.Placement, d.Map = placement.Primary, worldWithPrimary()
				d.Forward = func(context.Context, meridian.Region) (http.RoundTripper, error) { return r, nil }
			}
			g, err := New(c, d)
			if err != nil {
				t.Fatal(err)
			}
			g.off = off
			if kept := p.kept(g, r); kept != (off == allGuardsOn) {
				t.Errorf("%s: kept %v with guard %d off", p.name, kept, off)
			}
		}
	}
}
