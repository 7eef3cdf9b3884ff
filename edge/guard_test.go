package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cache"
	"meridian/edge/sign"
)

// signing returns a signer, and the behaviours that trust it below /private.
func signing(t testing.TB) (sign.Signer, []Behavior) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sign.Signer{KeyID: "k1", Key: key}, []Behavior{{
		Path: "/private/*", Cache: &cache.Policy{Name: "p", MaxTTL: time.Hour, Query: all}, Guard: Guard{Signed: sign.Keys{"k1": key.Public()}},
	}}
}

// A signed URL opens its path; neither the cache nor the origin sees the
// signature. Control: what nobody guards is open without.
func TestOnlySignedRequestsPassASignedBehavior(t *testing.T) {
	s, bs := signing(t)
	var fetched atomic.Int64
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "%s cookies=%s", r.RequestURI, r.Header.Get("Cookie"))
	}}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.Behaviors = bs })
	signed := func(path string, p sign.Policy) (string, string) {
		t.Helper()
		p.Until = time.Now().Add(time.Hour)
		grant, err := s.Canned(w.url+path, p)
		if p.Resource != "" {
			grant, err = s.Custom(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		line := "sid=1"
		for _, c := range grant.Cookies() {
			line += "; " + c[0] + "=" + c[1]
		}
		return strings.TrimPrefix(grant.Onto(w.url+path), w.url), line
	}
	one, cookies := signed("/private/a?x=1", sign.Policy{})
	many, _ := signed("/private/a?x=1", sign.Policy{Resource: "https://" + domain + "/private/*"})
	bare, _ := signed("/private/b", sign.Policy{})
	for _, tt := range []struct{ path, cookies, want string }{
		{one, "", "200 /private/a?x=1 cookies="},
		{many, "", "200 /private/a?x=1 cookies="}, // from the cache
		{bare, "", "200 /private/b cookies="},
		{"/private/a?x=1", cookies, "200 /private/a?x=1 cookies="}, // the policy has no cookies in its key
		{"/private/a?x=1", "", `403 {"code":"MissingKey","message":"Missing Key-Pair-Id query parameter or cookie value","requestId":`},
		{"/private/a?x=2", cookies, `403 {"code":"AccessDenied","message":"Access denied","requestId":`},
		{"/public/../private/a?x=1", "", `403 {"code":"MissingKey"`},
		{"/public?Policy=x&Expires=1", "CloudFront-Policy=x", "200 /public?Policy=x&Expires=1 cookies=CloudFront-Policy=x"},
	} {
		h := []string{}
		if tt.cookies != "" {
			h = []string{"Cookie", tt.cookies}
		}
		got := w.do("GET", tt.path, "", h...)
		if is := fmt.Sprintf("%d %s", got.status, got.body); !strings.HasPrefix(is, tt.want) {
			t.Errorf("%s: %s, want %s", tt.path, is, tt.want)
		}
	}
	if n := fetched.Load(); n != 3 {
		t.Errorf("the origin was asked %d times: a signature is in the cache's key", n)
	}
	w.until("logged why", func() bool { return strings.Contains(w.log.String(), `guard="the request bears no key's ID"`) })
	if text := w.log.String(); strings.Contains(text, "Signature=") {
		t.Error("a signature was logged")
	}
}

// A write's cookies pass but for those that bear the grant.
func TestAGrantInCookiesIsTakenOut(t *testing.T) {
	s, bs := signing(t)
	g, saw := capturing()
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.Behaviors = bs })
	grant, err := s.Custom(sign.Policy{Resource: "*", Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	line := "sid=1"
	for _, c := range grant.Cookies() {
		line += "; " + c[0] + "=" + c[1]
	}
	resp, err := w.try(w.h1, "POST", "/private/x", "hi", "Cookie", line)
	if err != nil || resp.status != 200 {
		t.Fatal(resp, err)
	}
	if r := <-saw; r.Header.Get("Cookie") != "sid=1" {
		t.Errorf("the origin was sent %v", r.Header["Cookie"])
	}
}

// What is not guarded costs nothing.
func TestAnOpenBehaviorCostsNoAllocation(t *testing.T) {
	x := &exchange{Edge: &Edge{}, ruleset: &ruleset{door: &Guard{}}, behavior: Match{Behavior: &Behavior{}}, r: &http.Request{Header: http.Header{"Cookie": {"a=1"}}, RemoteAddr: "192.0.2.1:1"}}
	if n := testing.AllocsPerRun(100, func() { x.guard() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
