package cache

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A rig is a cache and an origin that answers as the test says.
type rig struct {
	t      testing.TB
	c      *Cache
	policy Policy
	down   bool

	mu     sync.Mutex // guards what follows
	serve  func(h http.Header) (*http.Response, error)
	asked  int
	header http.Header // what the origin was last asked with
}

func newRig(t testing.TB, cfg Config) *rig {
	c, err := New(cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return &rig{t: t, c: c, policy: Default()}
}

// answering makes the origin answer with a status, a body and header lines.
func (r *rig) answering(status int, body string, lines ...string) {
	r.does(func(http.Header) (*http.Response, error) { return response(status, body, lines...), nil })
}

func (r *rig) does(f func(h http.Header) (*http.Response, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serve = f
}

func response(status int, body string, lines ...string) *http.Response {
	h := headers(lines...)
	return &http.Response{StatusCode: status, ProtoMajor: 2, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func (r *rig) fetch(_ context.Context, h http.Header) (*http.Response, error) {
	r.mu.Lock()
	r.asked, r.header = r.asked+1, h
	f := r.serve
	r.mu.Unlock()
	return f(h)
}

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// A reply is what a client was answered.
type reply struct {
	*Response
	body string
}

// do asks for a target with header lines: "GET /x".
func (r *rig) do(line string, lines ...string) reply {
	r.t.Helper()
	got, err := r.try(r.t.Context(), line, lines...)
	if err != nil {
		r.t.Fatalf("%s: %v", line, err)
	}
	return got
}

func (r *rig) try(ctx context.Context, line string, lines ...string) (reply, error) {
	method, target, _ := strings.Cut(line, " ")
	path, query, _ := strings.Cut(target, "?")
	q := Request{Method: method, Host: "a.test", Path: path, Query: query, Header: headers(lines...), Policy: r.policy}
	q.Tokens = tokensOf(q.Header["Floor"])
	q.Down = func() bool { return r.down }
	q.Credential = q.Header.Get("Authorization") != ""
	resp, err := r.c.Do(ctx, q, r.fetch)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return reply{resp, string(body)}, err
}

// want checks a reply, and how often the origin was asked in all.
func (r *rig) want(got reply, status int, body string, out Outcome, asked int) {
	r.t.Helper()
	if got.Status != status || got.body != body || got.Outcome != out || r.count() != asked {
		r.t.Errorf("%d %q %s (%s), asked %d times; want %d %q %s, %d times", got.Status, got.body, got.Outcome, got.CacheStatus, r.count(), status, body, out, asked)
	}
}

// in runs a test in a bubble, with a rig.
func in(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newRig(t, Config{})) })
}
