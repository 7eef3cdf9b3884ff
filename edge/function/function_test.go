package function

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/internal/kv"
)

// function returns one function, f.
func function(t testing.TB, code string, opts ...func(*Config, *Deps)) *Set {
	t.Helper()
	cfg := Config{Functions: []Source{{Name: "f", File: "f.js", Code: []byte(code), Store: "s"}}}
	deps := Deps{Now: func() time.Time { return time.UnixMilli(1_700_000_000_123) }}
	for _, o := range opts {
		o(&cfg, &deps)
	}
	e, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// store gives functions the key-value store s.
func store(values map[string]string) func(*Config, *Deps) {
	return func(_ *Config, d *Deps) {
		s, err := kv.New("s", time.UnixMilli(0), time.UnixMilli(1000), values)
		if err != nil {
			panic(err)
		}
		d.Store = func(name string) *kv.Snapshot {
			if name != "s" {
				return nil
			}
			return s
		}
	}
}

func get(path string, header ...string) *Event {
	path, query, has := strings.Cut(path, "?")
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &Event{
		Type: ViewerRequest, Request: "req-1", Domain: "api.example.test", Node: "eu-west-1/edge", Viewer: netip.MustParseAddr("198.51.100.7"),
		Location: Location{Name: "DUB", Server: "127.0.0.1", Region: "eu-west-1"},
		In:       Request{Method: "GET", Path: path, Query: query, HasQuery: has, Host: "api.example.test", Header: h},
	}
}

func serve(t testing.TB, e *Set, ev *Event) *Result {
	t.Helper()
	r, err := e.Serve(context.Background(), "f", ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARequestIsRewritten(t *testing.T) {
	e := function(t, `function handler(event) {
		var request = event.request;
		if (request.uri.endsWith('/')) request.uri += 'index.html';
		else if (!request.uri.includes('.')) request.uri += '/index.html';
		return request;
	}`)
	for path, want := range map[string]string{"/": "/index.html", "/a/": "/a/index.html", "/a": "/a/index.html", "/a.css": "/a.css", "/%41%2f%zz/x.y": "/%41%2f%zz/x.y"} {
		if got := serve(t, e, get(path+"?b=2&a=1&b=%zz&c&=&&")).Request; got.Path != want || got.Query != "b=2&a=1&b=%zz&c&=&&" {
			t.Errorf("%s: %s ? %s", path, got.Path, got.Query)
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	bench(b, `function handler(event) {
		var request = event.request;
		if (request.uri.endsWith('/')) request.uri += 'index.html';
		return request;
	}`)
}

// BenchmarkHeaders is of a function that looks at headers and changes one.
func BenchmarkHeaders(b *testing.B) {
	bench(b, `function handler(event) {
		var request = event.request, headers = request.headers;
		headers['x-device'] = { value: headers['user-agent'].value.includes('Mobile') ? 'mobile' : 'desktop' };
		return request;
	}`)
}

func bench(b *testing.B, code string) {
	e := function(b, code)
	ev := get("/a/?x=1&y=2", "Accept", "*/*", "User-Agent", "curl/8", "Cookie", "a=1; b=2", "Accept-Encoding", "gzip", "X-Forwarded-For", "198.51.100.7")
	b.ReportAllocs()
	_, burnt := cost(func() {
		for b.Loop() {
			serve(b, e, ev)
		}
	})
	b.ReportMetric(float64(burnt)/float64(b.N), "cpu-ns/op") // of all threads: the collector's too
}
