package framing

import (
	"net/http"
	"testing"
)

// What a handler is given over HTTP/2 and 3 was no line of text: each flaw is told,
// and what has none is let be.
func TestEachFlawIsTold(t *testing.T) {
	for _, tt := range []struct {
		change func(*http.Request)
		want   Flaw
	}{
		{func(*http.Request) {}, NoFlaw},
		{func(r *http.Request) { r.Header.Set("Expect", " 100-Continue") }, FlawedValue},
		{func(r *http.Request) { r.Header.Set("Expect", "100-Continue") }, NoFlaw},
		{func(r *http.Request) { r.Header["Expect"] = []string{"100-continue", "x"} }, FlawedExpect},
		{func(r *http.Request) { r.Header.Set("X", "y\t") }, FlawedValue},
		{func(r *http.Request) { r.Header["Transfer_Encoding"] = []string{"chunked"} }, FlawedName},
		{func(r *http.Request) { r.Header["Content_length"] = []string{"1"} }, FlawedName},
		{func(r *http.Request) { r.Method = "get" }, FlawedMethod},
		{func(r *http.Request) { r.Method = "G T" }, FlawedMethod},
		{func(r *http.Request) { r.RequestURI = "" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "?a" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "a" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "/a b" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "/a\x7f" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "/a#b" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "http://a.test/" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI = "*" }, FlawedTarget},
		{func(r *http.Request) { r.RequestURI, r.Method = "*", "OPTIONS" }, NoFlaw},
		{func(r *http.Request) { r.RequestURI, r.ProtoMajor, r.ProtoMinor = "http://a.test/", 1, 1 }, NoFlaw},
		{func(r *http.Request) { r.Host = "a;b" }, FlawedHost},
		{func(r *http.Request) { r.Host = "" }, FlawedHost},
		{func(r *http.Request) { r.Host, r.ProtoMajor, r.ProtoMinor = "", 1, 0 }, NoFlaw},
		{func(r *http.Request) { r.Host, r.ProtoMajor, r.ProtoMinor = "", 1, 1 }, FlawedHost},
	} {
		r := &http.Request{Method: "GET", RequestURI: "/a?b", Host: "a.test", ProtoMajor: 2, Header: http.Header{"X-A": {"b"}}}
		tt.change(r)
		if got := FlawOf(r); got != tt.want {
			t.Errorf("%s %q of %q, %v: %q, want %q", r.Method, r.RequestURI, r.Host, r.Header, got, tt.want)
		}
	}
}

// The target is what the client sent, and of the absolute form what follows the host.
func TestATargetIsPathAndQueryAsTheyCame(t *testing.T) {
	for raw, want := range map[string][2]string{
		"/a/%2e?b=%zz?c": {"/a/%2e", "b=%zz?c"}, "*": {"*", ""}, "http://a.test": {"/", ""}, "http://a.test?b": {"/", "b"}, "http://a.test/b?c": {"/b", "c"},
		"http://a.test/http://b/c": {"/http://b/c", ""}, "/http://b/c": {"/http://b/c", ""}, "?a": {"/", "a"}, "a.test:443": {"a.test:443", ""},
	} {
		if path, query := TargetOf(&http.Request{RequestURI: raw}); path != want[0] || query != want[1] {
			t.Errorf("%q: %q, %q", raw, path, query)
		}
	}
}
