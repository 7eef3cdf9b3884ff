package edge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"meridian"
	"meridian/edge/origin"
	"meridian/gateway"
	"meridian/identity"
	"meridian/internal/stricthttp"
)

// Everybody reads a request: the edge, as its own servers hand it out; a gateway,
// which gets it from the edge over HTTP/2; the function, as the event has it; an
// origin of HTTP/1.1, which gets it from the edge and reads it leniently.
type everybody struct {
	*world
	one   *http.Server
	two   *stricthttp.Multiplexed
	toOne *entrance

	mu     sync.Mutex // guards what follows
	taken  []taken    // by the edge, in order
	asked  map[string][]reached
	beside []asRead // by the origin
}

// A taken request is one that the edge's servers handed out.
type taken struct {
	asRead
	id    string
	whole bool // its body was read to its end
	ran   bool // somebody behind the edge answered
}

// An reached is what reached a function.
type reached struct{ gateway, event asRead }

// marker is on every response from behind the edge.
const marker = "X-Ran"

const anyRoute = `
openapi: 3.1.0
info: {title: any, version: "1"}
x-meridian-function: any
paths:
  /$default: {x-amazon-apigateway-any-method: {isDefaultRoute: true}}
`

func newEverybody(t testing.TB) *everybody {
	e := &everybody{asked: map[string][]reached{}}
	desk, err := gateway.New(gateway.Config{
		Region: "eu-west-1", Domain: domain, API: []byte(anyRoute), APIPath: "openapi.yaml", Functions: map[string]gateway.FunctionLimits{"any": {}},
	}, gateway.Deps{Invoke: e})
	if err != nil {
		t.Fatal(err)
	}
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) { e.atGateway(desk.Inner(), w, r) }}
	o := origin.CustomConfig{Name: "beside", URL: &url.URL{Scheme: "http", Host: e.leniently(t)}, HostHeader: "beside"}
	e.world = newWorld(t, []*region{g}, behaviors(o, Behavior{Path: "/o/*", Origin: "beside"}))
	engine := &netHTTP{limits: e.cfg.Limits, timeouts: e.cfg.Timeouts, log: e.deps.Log, now: time.Now}
	e.one, e.two, e.toOne = engine.server(http.HandlerFunc(e.atEdge)), stricthttp.NewMultiplexed(engine.server(http.HandlerFunc(e.atEdge))), newEntrance(nil)
	var all sync.WaitGroup
	all.Go(func() { e.one.Serve(e.toOne) })
	t.Cleanup(func() { e.one.Close(); e.two.Close(); all.Wait() })
	return e
}

// atEdge notes what the edge's server made of a request, and has the edge answer.
func (e *everybody) atEdge(w http.ResponseWriter, r *http.Request) {
	x := taken{asRead: asRead{r.Method, r.RequestURI, r.Host, ""}, whole: r.Body == http.NoBody || r.ContentLength == 0}
	b := &noted{ReadCloser: r.Body}
	if !x.whole {
		r.Body = b
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		e.mu.Lock()
		defer e.mu.Unlock()
		x.id, x.ran = w.Header().Get("X-Meridian-Request"), w.Header().Get(marker) != ""
		x.body, x.whole = b.text.String(), x.whole || b.ended
		e.taken = append(e.taken, x)
	}()
	e.ServeHTTP(w, r)
}

// A noted body keeps what is read of it.
type noted struct {
	io.ReadCloser
	mu    sync.Mutex // guards what follows
	text  strings.Builder
	ended bool
}

func (b *noted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p[:n])
	b.ended = b.ended || err == io.EOF
	return n, err
}

// atGateway notes what a gateway's server made of a request, if that came whole.
func (e *everybody) atGateway(next http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	e.mu.Lock()
	id := r.Header.Get(identity.HeaderRequest)
	e.asked[id] = append(e.asked[id], reached{gateway: asRead{r.Method, r.RequestURI, r.Host, string(body)}})
	e.mu.Unlock()
	next.ServeHTTP(w, r)
}

// Invoke implements gateway.Invoker.
func (e *everybody) Invoke(_ context.Context, in meridian.Invocation) (meridian.Answer, error) {
	var v events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(in.Event, &v); err != nil {
		return meridian.Answer{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.asked[in.ID]
	all[len(all)-1].event = readEvent(v)
	return meridian.Answer{Body: io.NopCloser(strings.NewReader(`{"statusCode":200,"headers":{"` + marker + `":"1","cache-control":"no-store"}}`))}, nil
}

// readEvent writes an event as HTTP/1.1, as adapters for functions do that serve
// it, and reads that as leniently as it can be. A second request in it is part of
// the target that is returned.
func readEvent(v events.APIGatewayV2HTTPRequest) asRead {
	body := v.Body
	if v.IsBase64Encoded {
		raw, _ := base64.StdEncoding.DecodeString(body)
		body = string(raw)
	}
	target := v.RawPath
	if v.RawQueryString != "" {
		target += "?" + v.RawQueryString
	}
	var fields [][2]string
	for name, value := range v.Headers {
		fields = append(fields, [2]string{name, value})
	}
	return wrote(v.RequestContext.HTTP.Method, target, fields, body)
}

// wrote returns how the readers read a request that is written as HTTP/1.1 without
// a look at what is in it.
func wrote(method, target string, fields [][2]string, body string) (r asRead) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	lengths := 0
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
		if strings.EqualFold(f[0], "content-length") {
			lengths++
		}
	}
	if lengths == 0 {
		fmt.Fprintf(&b, "content-length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	for i, l := range lenients {
		got := l.read(b.String())
		switch {
		case len(got) != 1:
			return asRead{target: fmt.Sprintf("%d requests (%s) in %q", len(got), l.name, b.String())}
		case i > 0 && got[0] != r:
			return asRead{target: fmt.Sprintf("%q or (%s) %q in %q", r, l.name, got[0], b.String())}
		}
		r = got[0]
	}
	return r
}

// leniently serves HTTP/1.1 at the address that it returns, with the reader that
// has every habit.
func (e *everybody) leniently(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { e.answerAll(c) })
		}
	})
	t.Cleanup(func() { l.Close() }) // connections end with the edge's
	return l.Addr().String()
}

func (e *everybody) answerAll(c net.Conn) {
	defer c.Close()
	var text string
	p := make([]byte, 4<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		text += string(p[:n])
		r, rest, ok := lenients[len(lenients)-2].one(text)
		if !ok {
			continue
		}
		text = rest
		e.mu.Lock()
		e.beside = append(e.beside, r)
		e.mu.Unlock()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n"+marker+": 1\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n")
	}
}
