package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/cockroachdb/datadriven"
	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/config"
	"meridian/gateway"
)

const anyRoute = `
openapi: 3.1.0
info: {title: any, version: "1"}
x-meridian-function: any
paths:
  /$default: {x-amazon-apigateway-any-method: {isDefaultRoute: true}}
`

// A port is a gateway's public port, and what its function was asked there.
type port struct {
	t       *testing.T
	addr    string
	conf    *tls.Config // of clients
	metrics *prometheus.Registry
	log     *bytes.Buffer
	stop    func() error
	wait    time.Duration // for the port to close a connection

	mu    sync.Mutex // guards what follows
	asked []string
	held  int           // that came to /held
	hold  chan struct{} // /held waits for it
}

// newPort opens one. Without guards net/http stands there alone.
func newPort(t *testing.T, guarded bool) *port {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newPortAt(t, l, guarded)
}

func newPortAt(t *testing.T, l net.Listener, guarded bool) *port {
	p := &port{t: t, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}, hold: make(chan struct{}), wait: 10 * time.Second}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	desk, err := gateway.New(gateway.Config{
		Region: "eu-west-1", Domain: "a", API: []byte(anyRoute), APIPath: "openapi.yaml", Functions: map[string]gateway.FunctionLimits{"any": {}},
	}, gateway.Deps{Invoke: p, Log: log, Metrics: p.metrics})
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	conf := p.certificate()
	file := &config.File{Limits: config.Limits{Header: 32 << 10, Drain: 5 * time.Second}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		if guarded {
			done <- publicGateway(desk, file, conf, log).Serve(ctx, l)
			return
		}
		done <- serveHTTP(ctx, func() {}, strangersServer(desk.Public(), file, log), tls.NewListener(l, conf), drainOf(file))
	}()
	p.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// certificate returns what the port shows, and has clients believe it.
func (p *port) certificate() *tls.Config {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	p.conf = &tls.Config{RootCAs: roots, ServerName: "example.com"}
	cert := &s.TLS.Certificates[0]
	return serverTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil })
}

// Invoke implements gateway.Invoker.
func (p *port) Invoke(ctx context.Context, in meridian.Invocation) (meridian.Answer, error) {
	var v events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(in.Event, &v); err != nil {
		return meridian.Answer{}, err
	}
	if v.RawPath == "/held" {
		p.mu.Lock()
		p.held++
		p.mu.Unlock()
		<-p.hold
	}
	status := 200
	if v.RawPath == "/early" {
		status = 202
	} else {
		p.note(v)
	}
	return meridian.Answer{Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"statusCode":%d,"headers":{"x-saw":"%s"}}`, status, v.Headers["x-forwarded-proto"])))}, nil
}

func (p *port) note(v events.APIGatewayV2HTTPRequest) {
	body := v.Body
	if v.IsBase64Encoded {
		raw, _ := base64.StdEncoding.DecodeString(body)
		body = string(raw)
	}
	target := v.RawPath
	if v.RawQueryString != "" {
		target += "?" + v.RawQueryString
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, fmt.Sprintf("%s %s %s %q\n", v.RequestContext.HTTP.Method, v.Headers["host"], target, body))
}

func (p *port) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := strings.Join(p.asked, "")
	p.asked = nil
	return out
}

// dial opens a connection that speaks a protocol.
func (p *port) dial(proto string) *tls.Conn {
	p.t.Helper()
	conf := p.conf.Clone()
	conf.NextProtos = []string{proto}
	c, err := tls.Dial("tcp", p.addr, conf)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(p.wait))
	return c
}

// answers sends bytes and returns the statuses of all responses until the port
// closes the connection.
func (p *port) answers(text string, half bool) (out string) {
	c := p.dial("http/1.1")
	defer c.Close()
	io.WriteString(c, text)
	if half {
		c.CloseWrite()
	}
	raw, _ := io.ReadAll(c)
	for from := bufio.NewReader(bytes.NewReader(raw)); ; {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			return out
		}
		io.Copy(io.Discard, resp.Body)
		out += strconv.Itoa(resp.StatusCode) + "\n"
	}
}

// said runs one script of framing's, and returns what came of it.
func (p *port) said(d *datadriven.TestData) string {
	var text strings.Builder
	for line := range strings.Lines(d.Input) {
		s, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			p.t.Fatalf("%q is no Go string", line)
		}
		text.WriteString(s)
	}
	out := p.answers(text.String(), d.Cmd == "half")
	asked := p.take()
	if d.Cmd == "unread" {
		return strings.SplitAfter(out, "\n")[0] + map[bool]string{false: "nothing smuggled\n", true: asked}[strings.Contains(asked, "/smuggled")]
	}
	return out + asked
}

// TestTheGatewaysPortReadsAsEdgesDo runs the scripts by which edges are tested. What
// is wanted is the same, word for word. Control, in the same test: without the
// guards other things come of them.
func TestTheGatewaysPortReadsAsEdgesDo(t *testing.T) {
	const scripts = "../internal/framing/testdata/smuggling"
	p := newPort(t, true)
	datadriven.Walk(t, scripts, func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return p.said(d) })
	})
	if n := counted(t, p.metrics, "malformed"); n < 50 {
		t.Errorf("%v were counted as refused", n)
	}
	p.stop()
	if !strings.Contains(p.log.String(), "cause=malformed") {
		t.Error("nothing was told of what was refused")
	}
	bare := newPort(t, false)
	bare.wait = time.Second // it may wait for what was not sent
	for _, name := range []string{"lengths", "codings"} {
		differ, all := 0, 0
		if _, err := os.Stat(filepath.Join(scripts, name)); err != nil {
			t.Fatal(err)
		}
		datadriven.RunTest(t, filepath.Join(scripts, name), func(_ *testing.T, d *datadriven.TestData) string {
			if all++; bare.said(d) != d.Expected {
				differ++
			}
			return d.Expected
		})
		if differ == 0 || differ == all {
			t.Errorf("%s: %d of %d come out otherwise without the guards", name, differ, all)
		}
	}
}

// counted returns how many of a cause were cut off.
func counted(t *testing.T, reg *prometheus.Registry, cause string) (n float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "meridian_gateway_connections_cut_total" {
			continue
		}
		for _, m := range f.Metric {
			if m.Label[0].GetValue() == cause {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}
