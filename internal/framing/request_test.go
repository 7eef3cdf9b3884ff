package framing

import (
	"net/http"
	"strings"
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

// Over HTTP/1.1 a head is judged as text: what passes is handed out byte for byte, and
// of what is refused nothing is.
func TestAHeadsTargetAndNamesAreJudged(t *testing.T) {
	for target, passes := range map[string]bool{
		"/a": true, "http://a.test/x": true, "HTTPS://A.test?x": true, "http://a.test": true, "a.test/x": false, "ftp://a.test/x": false,
		"http://a;b/x": false, "http:///x": false, "http://a.test/x#y": false, "*": false,
	} {
		text := "GET " + target + " HTTP/1.1\r\nHost: a.test\r\n\r\n"
		if out, _, _ := through(text, false, false); (out == text) != passes {
			t.Errorf("%s: %q", target, out)
		}
	}
	for trailer, passes := range map[string]bool{
		"X: y": true, "": true, "Content_Length: 3": false, "Host: b": false, "content-length: 3": false, "Transfer-Encoding: chunked": false, "Connection: x": false,
	} {
		text := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + strings.TrimSuffix(trailer+"\r\n", "\r\n") + "\r\n\r\n"
		if trailer == "" {
			text = strings.TrimSuffix(text, "\r\n")
		}
		if out, _, _ := through(text, false, false); (out == text) != passes {
			t.Errorf("a trailer %q: %q", trailer, out)
		}
	}
}

// Chunk extensions are names, with or without a value that is a token or quoted.
func TestExtensionsAreNamesAndValues(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "a=b": true, `a="b"`: true, ` a ; b = "c;\"d"`: true, "a;b": true, strings.Repeat("a", maxExtensions): true,
		"": false, ";": false, "a;": false, "=b": false, "a=": false, "a b": false, `a="b`: false, `a="b"c`: false, `a="\`: false, "a=\"\x00\"": false,
		"a ": false, "a\t": false, strings.Repeat("a", maxExtensions+1): false,
	} {
		if validExtensions(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
