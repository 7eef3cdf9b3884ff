package edge

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"meridian"
)

// named returns a region that answers with its name and the request line.
func named(name meridian.Region, rtt time.Duration) *region {
	return &region{name: name, rtt: rtt, serve: func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %s", name, r.Method, r.Host, r.RequestURI, body)
	}}
}

// threeRegions returns eu-west-1 beside the edge and two others.
func threeRegions() []*region {
	return []*region{named("us-east-1", 68*time.Millisecond), named("eu-west-1", 0), named("ap-southeast-1", 170*time.Millisecond)}
}

func TestRequestGoesToTheNearestRegion(t *testing.T) {
	w := newWorld(t, threeRegions())
	for name, c := range map[string]*http.Client{"HTTP/1.1": w.h1, "HTTP/2.0": w.h2} {
		t.Run(name, func(t *testing.T) {
			resp, err := c.Post(w.url+"/articles?x=1", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if want := "eu-west-1 POST api.example.test /articles?x=1 hello"; string(text) != want || resp.Proto != name {
				t.Errorf("%s: %q, want %q", resp.Proto, text, want)
			}
		})
	}
}

func TestPathQueryAndHostPassByteForByte(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for _, target := range []string{
		"//a/./b%2F..?x=%zz&a=b+c", "/a/../b", "/?", "/a?", "/%41%7e~", "/a;b=c,d!$&'()*+:@", "/a|b^c`d\"e<f>", "//" + domain + "/x", "///", "/a//b/", "/ünï", "/?a=?b=?c",
	} {
		text := w.raw("GET " + target + " HTTP/1.1\r\nHost: API.Example.test:8443\r\nConnection: close\r\n\r\n")
		_, body, _ := strings.Cut(text, "\r\n\r\n")
		if want := "eu-west-1 GET API.Example.test:8443 " + target + " "; !strings.Contains(body, want) {
			t.Errorf("%s: region got %q, want %q", target, body, want)
		}
	}
}

func TestAbsoluteFormIsCutToThePath(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for target, want := range map[string]string{
		"https://other.test/a//b?c": "eu-west-1 GET other.test /a//b?c ",
		"https://other.test?c":      "eu-west-1 GET other.test /?c ",
		"https://other.test":        "eu-west-1 GET other.test / ",
	} {
		text := w.raw("GET " + target + " HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n")
		if _, body, _ := strings.Cut(text, "\r\n\r\n"); !strings.Contains(body, want) {
			t.Errorf("%s: region got %q, want %q", target, body, want)
		}
	}
}

func TestRequestIdIsOneEverywhere(t *testing.T) {
	var saw string
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		saw = r.Header.Get("Meridian-Request")
		w.Header().Set("apigw-requestid", "gw-1")
	}}
	w := newWorld(t, []*region{g})
	got := w.do("GET", "/", "")
	id := got.header.Get("X-Meridian-Request")
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("x-meridian-request %q is no UUID", id)
	}
	if saw != id || got.header.Get("Apigw-Requestid") != "gw-1" {
		t.Errorf("region saw %q, client %q; apigw-requestid %q", saw, id, got.header.Get("Apigw-Requestid"))
	}
	w.until("logged", func() bool { return strings.Contains(w.log.String(), "msg=request") })
	for _, want := range []string{"hop=edge", "place=eu-west-1", "region=eu-west-1", "request=" + id, "status=200", `why="nearest, 0 ms away"`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the access log lacks %s:\n%s", want, w.log)
		}
	}
}

func TestPlainHTTPRedirects(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	https, _ := w.Addrs()
	_, port, _ := strings.Cut(https.String(), ":")
	for path, want := range map[string]string{
		"/a//b%2F?x=1": "https://api.example.test:" + port + "/a//b%2F?x=1",
		"/":            "https://api.example.test:" + port + "/",
	} {
		req, _ := http.NewRequest("POST", w.plain+path, nil)
		req.Host = domain + ":8080"
		resp, err := new(http.Transport).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); resp.StatusCode != 308 || got != want {
			t.Errorf("%s: %d %s, want 308 %s", path, resp.StatusCode, got, want)
		}
	}
	for host, want := range map[string]string{"www." + domain: "https://www." + domain, "evil.example": "https://" + domain, domain + ".evil.example": "https://" + domain, "a;b": ""} {
		req, _ := http.NewRequest("GET", w.plain+"/x", nil)
		req.Host = host
		resp, err := new(http.Transport).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got, ok := strings.CutSuffix(resp.Header.Get("Location"), ":"+port+"/x"); got != want || ok != (want != "") || !ok && resp.StatusCode != 400 {
			t.Errorf("asked for %s: %d %s, want %s", host, resp.StatusCode, resp.Header.Get("Location"), want)
		}
	}
}

func TestJoinLeavesThePortOfHTTPSOut(t *testing.T) {
	for _, tt := range []struct{ host, port, want string }{
		{"a.test", "443", "a.test"}, {"a.test", "8443", "a.test:8443"}, {"::1", "443", "[::1]"}, {"::1", "8443", "[::1]:8443"},
	} {
		if got := join(tt.host, tt.port); got != tt.want {
			t.Errorf("join(%s, %s) = %s, want %s", tt.host, tt.port, got, tt.want)
		}
	}
}

func TestLandingPageTellsANewcomer(t *testing.T) {
	none := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(404)
		io.WriteString(w, `{"message":"Not Found"}`)
	}
	gs := threeRegions()
	gs[1].serve = none
	w := newWorld(t, gs, func(c *Config, _ *Deps, _ *world) {
		c.Landing.Try = []Try{{What: "List the articles.", Path: "/api/articles"}, {What: "Write", Method: "POST", Path: "/x", Body: `{"it's":1}`}}
	})
	got := w.do("GET", "/", "", "Accept", "*/*")
	var p page
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	if p.Edge != "eu-west-1" || len(p.Regions) != 3 || p.Regions[0].Name != "eu-west-1" || p.Regions[2].RTT != 170 || p.Try[0].Curl != "curl 'https://api.example.test/api/articles'" {
		t.Errorf("page %+v", p)
	}
	if want := `curl -X POST -H 'Content-Type: application/json' -d '{"it'\''s":1}' 'https://api.example.test/x'`; p.Try[1].Curl != want {
		t.Errorf("curl line %s, want %s", p.Try[1].Curl, want)
	}
	html := w.do("GET", "/", "", "Accept", "text/html,*/*")
	if !strings.HasPrefix(html.body, "<!doctype html>") || !strings.Contains(html.body, "ap-southeast-1") {
		t.Errorf("no page for browsers: %s", html.body)
	}
	if got := w.do("GET", "/nothing", ""); got.status != 404 || got.body != `{"message":"Not Found"}` {
		t.Errorf("/nothing: %d %s", got.status, got.body)
	}
	gs[1].serve = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404); io.WriteString(w, "mine") }
	if got := w.do("GET", "/", ""); got.status != 404 || got.body != "mine" {
		t.Errorf("a function's own 404 at /: %d %s", got.status, got.body)
	}
}

// BenchmarkRequest is one client on one connection: what the edge and a region
// of no work add, TLS included.
func BenchmarkRequest(b *testing.B) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }}
	w := newWorld(b, []*region{g})
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := w.try(c, "GET", "/", ""); err != nil || got.status != 200 {
					b.Fatal(got, err)
				}
			}
		})
	}
}
