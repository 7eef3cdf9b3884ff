package gateway_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian"
	"meridian/gateway"
	"meridian/identity"
)

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
	left, err := time.ParseDuration(p.sent.Load().Header.Get("Meridian-Time-Left") + "ms")
	if err != nil || left > 930*time.Millisecond || left < 500*time.Millisecond {
		t.Errorf("Meridian-Time-Left %v, %v; want 1 s less the round trip and what was spent", left, err)
	}
	p.home.ask(p.home.inner, "POST", "/pets", "", "Meridian-Time-Left", "100").want(t, 200, "ok")
	if p.home.fns.count() != 1 {
		t.Error("a request with less than two round trips to go left home")
	}
	if p.sent.Load().GetBody != nil {
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
	if p.sent.Load().Header.Get("Meridian-Identity") == "" || p.primary.fns.count() != n {
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
