package lambda_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian"
	"meridian/lambda"
	"meridian/lambda/bundle"
)

// patience is how long a test waits for what must come. Only a test that fails
// waits so long.
const patience = 30 * time.Second

var bundles string // a folder; set by TestMain

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lambda-test-")
	if err != nil {
		panic(err)
	}
	bundles = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var actor = sync.OnceValues(func() (bundle.Bundle, error) {
	return bundle.Build(context.Background(), bundle.Source{Name: "actor", Go: "testdata/functions/actor"}, bundles)
})

// function returns the actor under a name.
func function(t *testing.T, name string) lambda.Function {
	t.Helper()
	b, err := actor()
	if err != nil {
		t.Fatal(err)
	}
	return lambda.Function{Name: name, Bundle: b.Dir, Timeout: time.Minute, Max: 1}
}

// A hop is a running Lambda.
type hop struct {
	*lambda.Lambda
	t    *testing.T
	logs *logs
	stop func() // ends it and waits; may be called again
}

func run(t *testing.T, cfg lambda.Config, deps lambda.Deps) *hop {
	t.Helper()
	h := &hop{t: t, logs: &logs{changed: make(chan struct{})}}
	if deps.Log == nil {
		deps.Log = slog.New(slog.NewTextHandler(h.logs, nil))
	}
	cfg.Region = "eu-west-1"
	l, err := lambda.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	h.Lambda = l
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- l.Run(ctx, func() { close(ready) }) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
		if t.Failed() {
			t.Log("\n" + h.logs.String())
		}
	})
	t.Cleanup(h.stop)
	wait(t, ready, "ready")
	return h
}

// A reply is what the actor says of itself.
type reply struct {
	Text      string   `json:"text"`
	PID       int      `json:"pid"`
	UID       int      `json:"uid"`
	RequestID string   `json:"request_id"`
	ARN       string   `json:"arn"`
	Trace     string   `json:"trace"`
	LeftMS    int64    `json:"left_ms"`
	Env       []string `json:"env"`
	Dir       string   `json:"dir"`
}

type result struct {
	reply
	observed meridian.Observation
	err      error
}

// event makes an event from pairs.
func event(pairs ...any) []byte {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func (h *hop) invoke(fn string, pairs ...any) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return h.invokeContext(ctx, meridian.Invocation{ID: "r-" + fn, Function: fn, Event: event(pairs...)})
}

func (h *hop) invokeContext(ctx context.Context, inv meridian.Invocation) (r result) {
	a, err := h.Invoke(ctx, inv)
	r.observed, r.err = a.Observed, err
	if err != nil {
		return r
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err == nil {
		err = json.Unmarshal(b, &r.reply)
	}
	r.err = err
	return r
}

// must fails the test if the invocation failed.
func (h *hop) must(fn string, pairs ...any) result {
	h.t.Helper()
	r := h.invoke(fn, pairs...)
	if r.err != nil {
		h.t.Fatalf("invoke %s %v: %v", fn, pairs, r.err)
	}
	return r
}

// async invokes and returns at once.
func (h *hop) async(ctx context.Context, inv meridian.Invocation) <-chan result {
	c := make(chan result, 1)
	go func() { c <- h.invokeContext(ctx, inv) }()
	return c
}

func (h *hop) hold(g *gate, fn, id string) <-chan result {
	return h.async(context.Background(), meridian.Invocation{ID: id, Function: fn, Event: event("do", "hold", "addr", g.addr(), "text", id)})
}

// wantKind checks an error's kind and the function's error in it.
func wantKind(t *testing.T, err error, k meridian.Kind, text string) {
	t.Helper()
	if meridian.KindOf(err) != k || err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %q: %v, want %q: ...%s...", meridian.KindOf(err), err, k, text)
	}
}

// A gate is where holding functions wait.
type gate struct {
	t  *testing.T
	ln net.Listener
}

func newGate(t *testing.T) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &gate{t, ln}
}

func (g *gate) addr() string { return g.ln.Addr().String() }

// A held is one invocation that waits at a gate.
type held struct {
	net.Conn
	text string
}

func (g *gate) next() *held {
	g.t.Helper()
	g.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := g.ln.Accept()
	if err != nil {
		g.t.Fatalf("no function came to the gate: %v", err)
	}
	g.t.Cleanup(func() { c.Close() })
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		g.t.Fatal(err)
	}
	return &held{c, strings.TrimSpace(line)}
}

func (h *held) release() { h.Write([]byte{1}) }

// gone waits until the process at the other end is no more.
func (h *held) gone(t *testing.T) {
	t.Helper()
	h.SetReadDeadline(time.Now().Add(patience))
	if _, err := h.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the process still lives: %v", err)
	}
}

func wait[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %v", what, patience)
	}
	return v
}

// logs collects what is logged.
type logs struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	changed chan struct{} // closed, and replaced, with each line
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// line waits for a line that has all of parts.
func (l *logs) line(t *testing.T, parts ...string) string {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		text, changed := l.text.String(), l.changed
		l.mu.Unlock()
	lines:
		for line := range strings.Lines(text) {
			for _, p := range parts {
				if !strings.Contains(line, p) {
					continue lines
				}
			}
			return line
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no log line has %q:\n%s", parts, text)
		}
	}
}

func (r result) variable(name string) string {
	for _, v := range r.Env {
		if val, ok := strings.CutPrefix(v, name+"="); ok {
			return val
		}
	}
	return fmt.Sprintf("(%s is not set)", name)
}
