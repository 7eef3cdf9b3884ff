package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"meridian"
	"meridian/gateway"
	"meridian/gateway/cors"
	"meridian/gateway/openapi"
)

func TestABadFileNeverReplacesAGoodOne(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	bad := strings.Replace(api, "x-meridian-function: pets", "x-meridian-function: dogs", 1)
	err := w.Load("openapi.yaml", []byte(bad))
	var ps openapi.Problems
	if !errors.As(err, &ps) || !strings.Contains(err.Error(), `openapi.yaml:4:22: function "dogs"; expected one of pets`) {
		t.Errorf("Load = %v", err)
	}
	w.ask(w.public, "GET", "/pets", "").want(t, 200, "ok")
	if err := w.Load("openapi.yaml", []byte(strings.Replace(api, "  /pets:", "  /beasts:", 1))); err != nil {
		t.Fatal(err)
	}
	w.ask(w.public, "GET", "/pets", "").want(t, 404, notFound)
	w.ask(w.public, "GET", "/beasts", "").want(t, 200, "ok")
}

func TestNewRefusesABadConfig(t *testing.T) {
	for name, change := range map[string]func(*gateway.Config, *gateway.Deps){
		"no invoker":        func(_ *gateway.Config, d *gateway.Deps) { d.Invoke = nil },
		"no file":           func(c *gateway.Config, _ *gateway.Deps) { c.API = nil },
		"no functions":      func(c *gateway.Config, _ *gateway.Deps) { c.Functions = nil },
		"cors":              func(c *gateway.Config, _ *gateway.Deps) { c.CORS = &cors.Config{AllowOrigins: []string{"nonsense"}} },
		"unused authorizer": func(c *gateway.Config, _ *gateway.Deps) { c.Authorizers = []string{"main", "mian"} },
	} {
		c, d := config(), gateway.Deps{Invoke: &functions{}}
		change(&c, &d)
		if g, err := gateway.New(c, d); err == nil || g != nil {
			t.Errorf("%s: New = %v, %v", name, g, err)
		}
	}
}

// The edge speaks HTTP/2 without TLS of its own over the backbone's.
func TestTheInnerDoorBelievesTheEdge(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	srv := httptest.NewUnstartedServer(w.Inner())
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	tr := &http.Transport{Protocols: srv.Config.Protocols, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/pets/a%2Fb?x=%41", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "api.example.test"
	for name, value := range map[string]string{
		"Meridian-Request": "from-the-edge", "X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https",
		"X-Forwarded-Port": "8443", "Via": "1.0 proxy, 2.0 sa-east-1.meridian", "Meridian-Secret": "x",
	} {
		r.Header.Set(name, value)
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("%s %s %v", res.Proto, res.Status, err)
	}
	e := w.fns.event(t)
	c := e.RequestContext
	for _, got := range [][2]string{
		{c.RequestID, "from-the-edge"}, {c.HTTP.SourceIP, "198.51.100.7"}, {c.HTTP.Protocol, "HTTP/2.0"}, {e.RawPath, "/pets/a%2Fb"}, {e.RawQueryString, "x=%41"},
		{e.Headers["x-forwarded-for"], "203.0.113.9, 198.51.100.7"}, {e.Headers["x-forwarded-port"], "8443"}, {e.Headers["meridian-secret"], ""},
		{e.Headers["host"], "api.example.test"}, {res.Header.Get("Apigw-Requestid"), "from-the-edge"},
	} {
		if got[0] != got[1] {
			t.Errorf("%q, want %q", got[0], got[1])
		}
	}
}

func TestThePublicDoorBelievesNobody(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	w.ask(w.public, "GET", "/pets", "", "Meridian-Request", "mine", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "gopher",
		"Via", "3.0 mine", "Meridian-Anything", "x", "Connection", "X-Hop", "X-Hop", "1")
	e := w.fns.event(t)
	c := e.RequestContext
	for _, got := range [][2]string{
		{c.HTTP.SourceIP, "127.0.0.1"}, {e.Headers["x-forwarded-for"], "203.0.113.9, 127.0.0.1"}, {e.Headers["x-forwarded-proto"], "https"},
		{c.HTTP.Protocol, "HTTP/1.1"}, {e.Headers["x-hop"], ""}, {e.Headers["connection"], ""}, {e.Headers["meridian-anything"], ""},
	} {
		if got[0] != got[1] {
			t.Errorf("%q, want %q", got[0], got[1])
		}
	}
	if c.RequestID == "mine" || len(c.RequestID) < 16 {
		t.Errorf("request id %q", c.RequestID)
	}
}

func TestPreflightsAreAnsweredBeforeAuthentication(t *testing.T) {
	out := `{"statusCode":200,"headers":{"Access-Control-Allow-Origin":"*","Access-Control-Allow-Methods":"DELETE"},"body":"ok"}`
	w := newWorld(t, always(out, meridian.Observation{}), func(c *gateway.Config, _ *gateway.Deps) {
		c.CORS = &cors.Config{AllowOrigins: []string{"https://app.test"}, AllowMethods: []string{"GET"}, AllowHeaders: []string{"X-Api-Key"}, AllowCredentials: true}
	})
	a := w.ask(w.public, "OPTIONS", "/private", "", "Origin", "https://app.test", "Access-Control-Request-Method", "GET")
	a.want(t, 204, "")
	for name, want := range map[string]string{"Access-Control-Allow-Origin": "https://app.test", "Access-Control-Allow-Methods": "GET",
		"Access-Control-Allow-Headers": "x-api-key,meridian-consistency", "Access-Control-Allow-Credentials": "true", "Vary": "Origin", "Content-Type": ""} {
		a.header(t, name, want)
	}
	a = w.ask(w.public, "OPTIONS", "/private", "", "Origin", "https://evil.test", "Access-Control-Request-Method", "GET")
	a.want(t, 204, "")
	a.header(t, "Access-Control-Allow-Origin", "")
	if w.fns.count() != 0 {
		t.Error("a preflight reached a function")
	}
	a = w.ask(w.public, "GET", "/pets", "", "Origin", "https://app.test")
	a.want(t, 200, "ok")
	a.header(t, "Access-Control-Allow-Origin", "https://app.test")
	a.header(t, "Access-Control-Allow-Methods", "")
	a.header(t, "Access-Control-Expose-Headers", "meridian-consistency")
	a = w.ask(w.public, "GET", "/nowhere", "", "Origin", "https://app.test")
	a.want(t, 404, notFound)
	a.header(t, "Access-Control-Allow-Origin", "https://app.test") // or scripts could not read the error
}

// lines is a log that can be read once the request is over.
type lines struct {
	mu   sync.Mutex // guards buf
	buf  bytes.Buffer
	more chan struct{} // one for each record
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.buf.Write(p)
	if bytes.Contains(p, []byte(`"msg":"request"`)) {
		l.more <- struct{}{}
	}
	return n, err
}

// last returns the last record of a request, after the next one was written.
func (l *lines) last(t *testing.T) (record map[string]any) {
	t.Helper()
	<-l.more
	l.mu.Lock()
	defer l.mu.Unlock()
	all := bytes.Split(bytes.TrimSpace(l.buf.Bytes()), []byte("\n"))
	if err := json.Unmarshal(all[len(all)-1], &record); err != nil {
		t.Fatal(err)
	}
	return record
}

func TestEachRequestLeavesOneRecord(t *testing.T) {
	out := &lines{more: make(chan struct{}, 10)}
	w := newWorld(t, fails(meridian.WithKind(meridian.Crashed, errors.New("hello: exit status 2"))), func(_ *gateway.Config, d *gateway.Deps) {
		d.Log = slog.New(slog.NewJSONHandler(out, nil))
	})
	a := w.ask(w.public, "GET", "/pets/7?secret=1", "")
	got := out.last(t)
	for name, want := range map[string]any{
		"msg": "request", "hop": "gateway", "region": "eu-west-1", "level": "ERROR", "request": a.Header.Get("Apigw-Requestid"), "requestId": a.Header.Get("Apigw-Requestid"),
		"httpMethod": "GET", "path": "/pets/7", "routeKey": "GET /pets/{id}", "status": 500.0, "responseLength": 35.0, "protocol": "HTTP/1.1",
		"identity.sourceIp": "127.0.0.1", "function": "pets", "why": "path with parameters, exact method",
		"error.message": "hello: exit status 2", "error.kind": "crashed", "domainName": "api.example.test", "stage": "$default",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	w.ask(w.public, "GET", "/private", "")
	if got = out.last(t); got["status"] != 403.0 || got["authorizer.why"] == nil || got["level"] != "INFO" {
		t.Errorf("record %v", got)
	}
	w.ask(w.public, "GET", "/nowhere", "")
	if got = out.last(t); got["routeKey"] != "none" || got["why"] != "no route: no path matches" {
		t.Errorf("record %v", got)
	}
}

// The span is a child of the caller's, and the function's a child of it.
func TestASpanJoinsTheCallersTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	w := newWorld(t, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Tracer = provider.Tracer("test") })
	w.ask(w.inner, "GET", "/pets", "", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	trace := w.fns.last(t).Trace
	w.ask(w.inner, "GET", "/pets", "")
	if w.fns.last(t).Trace != "" {
		t.Errorf("a trace that nobody began: %q", w.fns.last(t).Trace)
	}
	w.inner.Close() // waits for the handlers
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Name() != "gateway" || ended[0].Parent().SpanID().String() != "00f067aa0ba902b7" {
		t.Fatalf("spans %v", ended)
	}
	if want := "00-4bf92f3577b34da6a3ce929d0e0e4736-" + ended[0].SpanContext().SpanID().String() + "-01"; trace != want {
		t.Errorf("the invocation's trace is %q, want %q", trace, want)
	}
	found := map[string]string{}
	for _, kv := range ended[0].Attributes() {
		found[string(kv.Key)] = kv.Value.String()
	}
	if found["route"] != "GET /pets" || found["why"] != "static path, exact method" || found["status"] != "200" {
		t.Errorf("attributes %v", found)
	}
}
