package edge

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/identity"
)

func TestAResponsePolicySaysWhichHeadersThereAre(t *testing.T) {
	p := &ResponsePolicy{
		Remove: []string{"Server", "X-Powered-By"}, Set: http.Header{"X-Content-Type-Options": {"nosniff"}},
		Default: http.Header{"Referrer-Policy": {"no-referrer"}, "X-Frame-Options": {"DENY"}},
	}
	h := http.Header{"Server": {"x"}, "X-Content-Type-Options": {"sniff"}, "X-Frame-Options": {"SAMEORIGIN"}, "Etag": {"e"}}
	p.apply(h, &http.Request{})
	want := http.Header{"X-Content-Type-Options": {"nosniff"}, "X-Frame-Options": {"SAMEORIGIN"}, "Etag": {"e"}, "Referrer-Policy": {"no-referrer"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestCORSOfAResponsePolicy(t *testing.T) {
	some := &CORS{Origins: []string{"https://www.example.test"}, Methods: []string{"GET", "PUT"}, Headers: []string{"X-A"}, Expose: []string{"Etag"}, Credentials: true, MaxAge: time.Minute}
	any := &CORS{Origins: []string{"*"}}
	over := &CORS{Origins: some.Origins, Override: true}
	below := &CORS{Origins: []string{"https://*.example.test", "https://*.other.test:8443"}}
	for _, tt := range []struct {
		name           string
		c              *CORS
		method, origin string
		said           http.Header
		want           string
	}{
		{"allowed", some, "GET", "https://www.example.test", http.Header{"Vary": {"Accept"}}, "Access-Control-Allow-Credentials=true Access-Control-Allow-Origin=https://www.example.test Access-Control-Expose-Headers=Etag Vary=Accept|Origin"},
		{"a preflight", some, "OPTIONS", "https://www.example.test", nil, "Access-Control-Allow-Credentials=true Access-Control-Allow-Headers=X-A Access-Control-Allow-Methods=GET, PUT Access-Control-Allow-Origin=https://www.example.test Access-Control-Max-Age=60 Vary=Origin"},
		{"another", some, "GET", "https://evil.test", nil, "Vary=Origin"},
		{"null", some, "GET", "null", nil, "Vary=Origin"},
		{"none", some, "GET", "", nil, "Vary=Origin"},
		{"below: below", below, "GET", "https://a.b.example.test", nil, "Access-Control-Allow-Origin=https://a.b.example.test Vary=Origin"},
		{"below: below, a port", below, "GET", "https://a.other.test:8443", nil, "Access-Control-Allow-Origin=https://a.other.test:8443 Vary=Origin"},
		{"below: the name itself", below, "GET", "https://example.test", nil, "Vary=Origin"},
		{"below: an empty label", below, "GET", "https://.example.test", nil, "Vary=Origin"},
		{"below: another that ends so", below, "GET", "https://evilexample.test", nil, "Vary=Origin"},
		{"below: another scheme", below, "GET", "http://a.example.test", nil, "Vary=Origin"},
		{"below: another port", below, "GET", "https://a.example.test:444", nil, "Vary=Origin"},
		{"below: a path", below, "GET", "https://evil.test/.example.test", nil, "Vary=Origin"},
		{"below: a name and more", below, "GET", "https://a.example.test.evil.test", nil, "Vary=Origin"},
		{"below: a user", below, "GET", "https://evil.test:x@a.example.test", nil, "Vary=Origin"},
		{"any", any, "GET", "https://evil.test", nil, "Access-Control-Allow-Origin=*"},
		{"any, of none", any, "GET", "", nil, ""},
		{"the origin said it", any, "GET", "https://evil.test", http.Header{"Access-Control-Allow-Origin": {"https://a.test"}}, "Access-Control-Allow-Origin=https://a.test"},
		{"over what the origin says", over, "GET", "https://www.example.test", http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Methods": {"PUT"}, "Etag": {"e"}},
			"Access-Control-Allow-Origin=https://www.example.test Etag=e Vary=Origin"},
		{"over what the origin says to another", over, "GET", "https://evil.test", http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {"etag"}}, "Vary=Origin"},
		{"a token", any, "GET", "https://a.test", http.Header{identity.HeaderConsistency: {"t"}}, "Access-Control-Allow-Origin=* Access-Control-Expose-Headers=Meridian-Consistency Meridian-Consistency=t"},
	} {
		h, r := http.Header{}, &http.Request{Method: tt.method, Header: http.Header{"Access-Control-Request-Method": {"PUT"}}}
		for name, v := range tt.said {
			h[name] = v
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		tt.c.apply(h, r)
		var got []string
		for name, v := range h {
			got = append(got, name+"="+strings.Join(v, "|"))
		}
		if slices.Sort(got); strings.Join(got, " ") != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, strings.Join(got, " "), tt.want)
		}
	}
}

// The policy holds for what the edge itself answers, too, and for no other
// behaviour.
func TestAResponsePolicyHoldsForEveryAnswer(t *testing.T) {
	p := &ResponsePolicy{Name: "p", Set: http.Header{"X-Frame-Options": {"DENY"}}, Remove: []string{"X-Powered-By"}}
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "x")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(404)
		io.WriteString(w, "mine")
	}}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/p*", Response: p, Methods: []string{"GET"}}}
	})
	for _, tt := range []struct{ method, path, want string }{{"GET", "/p", "404 DENY "}, {"POST", "/p", "405 DENY "}, {"GET", "/q", "404  x"}} {
		got := w.do(tt.method, tt.path, "")
		if is := fmt.Sprintf("%d %s %s", got.status, got.header.Get("X-Frame-Options"), got.header.Get("X-Powered-By")); is != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, is, tt.want)
		}
	}
}
