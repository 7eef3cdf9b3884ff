package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"meridian"
	"meridian/gateway"
)

const api = `
openapi: 3.1.0
info: {title: Pets, version: 1.0.0}
x-meridian-function: pets
paths:
  /pets:
    get: {operationId: listPets}
    post: {}
  /pets/{id}: {get: {x-meridian-consistency: bounded(1s), x-meridian-on-unreachable: stale}}
  /old/{proxy+}:
    x-amazon-apigateway-any-method:
      x-amazon-apigateway-integration: {type: aws_proxy, uri: pets, payloadFormatVersion: "1.0"}
  /slow:
    get:
      x-amazon-apigateway-integration: {type: aws_proxy, uri: pets, timeoutInMillis: 50}
  /private: {get: {security: [{key: []}]}}
  /me: {get: {security: [{main: [read]}]}}
  /both: {get: {security: [{main: []}, {key: []}]}}
  /any: {get: {security: [{key: []}, {}]}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: x-api-key}
    main: {type: oauth2, x-amazon-apigateway-authorizer: {type: jwt}}
`

// functions is an Invoker that keeps what it was asked.
type functions struct {
	answer func(context.Context, meridian.Invocation) (meridian.Answer, error)

	mu   sync.Mutex // guards what follows
	seen []meridian.Invocation
}

func (f *functions) Invoke(ctx context.Context, in meridian.Invocation) (meridian.Answer, error) {
	f.mu.Lock()
	f.seen = append(f.seen, in)
	f.mu.Unlock()
	if f.answer == nil {
		return says(`{"statusCode":200,"headers":{"content-type":"text/plain"},"body":"ok"}`), nil
	}
	return f.answer(ctx, in)
}

// last returns the last invocation, or fails the test if there is none.
func (f *functions) last(t *testing.T) meridian.Invocation {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) == 0 {
		t.Fatal("no function was invoked")
	}
	return f.seen[len(f.seen)-1]
}

func (f *functions) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

func (f *functions) event(t *testing.T) (e events.APIGatewayV2HTTPRequest) {
	t.Helper()
	if err := json.Unmarshal(f.last(t).Event, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func says(output string) meridian.Answer {
	return meridian.Answer{Body: io.NopCloser(strings.NewReader(output))}
}

// always answers every invocation alike.
func always(output string, o meridian.Observation) *functions {
	return &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		a := says(output)
		a.Observed = o
		return a, nil
	}}
}

func fails(err error) *functions {
	return &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		return meridian.Answer{}, err
	}}
}

func config() gateway.Config {
	return gateway.Config{
		Region:      "eu-west-1",
		Domain:      "api.example.test",
		API:         []byte(api),
		APIPath:     "openapi.yaml",
		Authorizers: []string{"main"},
		Functions:   map[string]gateway.FunctionLimits{"pets": {Timeout: 5 * time.Second}},
	}
}

// A world is a gateway behind its two doors, on real sockets.
type world struct {
	*gateway.Gateway
	t             *testing.T
	fns           *functions
	inner, public *httptest.Server
}

func newWorld(t *testing.T, fns *functions, change func(*gateway.Config, *gateway.Deps)) *world {
	t.Helper()
	c, d := config(), gateway.Deps{Invoke: fns}
	if change != nil {
		change(&c, &d)
	}
	g, err := gateway.New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Gateway: g, t: t, fns: fns, inner: httptest.NewServer(g.Inner()), public: httptest.NewTLSServer(g.Public())}
	for _, door := range []*httptest.Server{w.inner, w.public} {
		t.Cleanup(door.Close)
		door.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return w
}

// An answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

// ask sends a request; extra are names and values of headers.
func (w *world) ask(door *httptest.Server, method, target, body string, extra ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, door.URL+target, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = "api.example.test:9443"
	for i := 0; i+1 < len(extra); i += 2 {
		r.Header.Add(extra[i], extra[i+1])
	}
	res, err := door.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res, string(b)}
}

// want checks the status and, unless it is "", the body.
func (a answer) want(t *testing.T, status int, body string) {
	t.Helper()
	if a.StatusCode != status || body != "" && a.body != body {
		t.Errorf("%s %s: %d %s, want %d %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body, status, body)
	}
}

// header checks the value of a header; "" means that it is not there.
func (a answer) header(t *testing.T, name, want string) {
	t.Helper()
	if got := strings.Join(a.Header.Values(name), " | "); got != want {
		t.Errorf("%s %s: %s is %q, want %q", a.Request.Method, a.Request.URL.Path, name, got, want)
	}
}

const notFound = `{"message":"Not Found"}`

func TestARequestBecomesAnEventAndTheOutputAnAnswer(t *testing.T) {
	fns := always(`{"statusCode":201,"headers":{"Content-Type":"application/json","X-One":"1"},"cookies":["a=1","b=2; Path=/"],"body":"{\"ok\":true}"}`, meridian.Observation{})
	w := newWorld(t, fns, nil)
	a := w.ask(w.public, "POST", "/pets?x=1&x=2&y=%20z", `{"name":"Rex"}`, "Content-Type", "application/json", "X-Two", "a", "X-Two", "b", "Cookie", "c=3; d=4")
	a.want(t, 201, `{"ok":true}`)
	a.header(t, "Content-Type", "application/json")
	a.header(t, "X-One", "1")
	a.header(t, "Set-Cookie", "a=1 | b=2; Path=/")
	a.header(t, "Meridian-Region", "eu-west-1")
	if a.Header.Get("apigw-requestid") != fns.last(t).ID || fns.last(t).ID == "" {
		t.Errorf("apigw-requestid %q, invocation %q", a.Header.Get("apigw-requestid"), fns.last(t).ID)
	}
	e := fns.event(t)
	c := e.RequestContext
	for _, got := range [][2]string{
		{e.Version, "2.0"}, {e.RouteKey, "POST /pets"}, {c.RouteKey, "POST /pets"}, {e.RawPath, "/pets"}, {e.RawQueryString, "x=1&x=2&y=%20z"},
		{strings.Join(e.Cookies, ";"), "c=3;d=4"}, {e.Headers["cookie"], ""}, {e.Headers["x-two"], "a,b"}, {e.Headers["host"], "api.example.test:9443"},
		{e.Headers["content-length"], "14"}, {e.QueryStringParameters["x"], "1,2"}, {e.QueryStringParameters["y"], " z"}, {e.Body, `{"name":"Rex"}`},
		{c.HTTP.Method, "POST"}, {c.HTTP.Path, "/pets"}, {c.HTTP.SourceIP, "127.0.0.1"}, {c.HTTP.UserAgent, "Go-http-client/1.1"}, {c.HTTP.Protocol, "HTTP/1.1"},
		{c.DomainName, "api.example.test"}, {c.DomainPrefix, "api"}, {c.Stage, "$default"}, {c.AccountID, "000000000000"}, {c.RequestID, fns.last(t).ID},
		{e.Headers["x-forwarded-for"], "127.0.0.1"}, {e.Headers["x-forwarded-proto"], "https"}, {e.Headers["x-forwarded-port"], "9443"},
	} {
		if got[0] != got[1] {
			t.Errorf("event has %q, want %q", got[0], got[1])
		}
	}
	if e.IsBase64Encoded || len(c.APIID) != 10 || c.Authorizer != nil {
		t.Errorf("event: base64 %v, apiId %q, authorizer %v", e.IsBase64Encoded, c.APIID, c.Authorizer)
	}
}

func TestRoutesAreThoseOfTheFile(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	w.ask(w.public, "GET", "/pets/a%2Fb%20c", "").want(t, 200, "ok")
	if e := w.fns.event(t); e.PathParameters["id"] != "a/b c" || e.RawPath != "/pets/a%2Fb%20c" || e.RouteKey != "GET /pets/{id}" {
		t.Errorf("event %q %q %v", e.RouteKey, e.RawPath, e.PathParameters)
	}
	before := w.fns.count()
	for _, r := range []string{"GET /", "GET /nowhere", "PUT /pets", "HEAD /pets", "OPTIONS /pets", "GET /pets/", "GET /old/"} {
		method, path, _ := strings.Cut(r, " ")
		a := w.ask(w.public, method, path, "")
		if method == "HEAD" {
			a.want(t, 404, "")
			continue
		}
		a.want(t, 404, notFound)
		a.header(t, "Content-Type", "application/json")
		a.header(t, "Allow", "")
	}
	if w.fns.count() != before {
		t.Error("a function was invoked for a request without a route")
	}
}
