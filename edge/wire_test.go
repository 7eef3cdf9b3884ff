package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"meridian"
)

func TestLimitsAreAnsweredInJSON(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for _, tt := range []struct {
		name, text string
		want       string
	}{
		{"header", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Big: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "431 "},
		{"body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10000001\r\n\r\n", "413 "},
		{"method", "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405 "},
		{"tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n", "405 "},
		{"websocket", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", "501 "},
	} {
		text := w.raw(tt.text)
		if !strings.HasPrefix(text, "HTTP/1.1 "+tt.want) || !strings.Contains(text, `{"message":"`) || !strings.Contains(text, `"requestId":"`) {
			t.Errorf("%s: %.300s", tt.name, text)
		}
	}
	if got := w.do("POST", "/", strings.Repeat("x", 9_999_999)); got.status != 200 || len(got.body) < 9_999_999 {
		t.Errorf("a body within the limit: %d, %d bytes", got.status, len(got.body))
	}
	if text := w.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Huge: " + strings.Repeat("x", 100<<10) + "\r\n\r\n"); !strings.HasPrefix(text, "HTTP/1.1 431 ") {
		t.Errorf("a header that the engine does not hold: %.100s", text)
	}
}

func TestBodyOfUnknownLengthIsCutOffAtTheLimit(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Limits.Body = 100_000 })
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		resp, err := c.Post(w.url, "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 100_001))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("%s: %s, want 413", name, resp.Status)
		}
	}
}

// Two readings of where a request ends are a smuggled request. Each of these
// must be refused, and nothing of it be taken for a request of its own.
func TestRequestsWithTwoReadingsAreRefused(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	g, saw := capturing()
	w := newWorld(t, []*region{g})
	for name, text := range map[string]string{
		"two lengths":         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" + smuggled,
		"odd coding":          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled,
		"two codings":         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"space before colon":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 40\r\n\r\n" + smuggled,
		"negative length":     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n" + smuggled,
		"plus length":         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd" + smuggled,
		"no host":             "GET / HTTP/1.1\r\n\r\n" + smuggled,
		"two hosts":           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + smuggled,
		"bare CR in a header": "GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 40\r\n\r\n" + smuggled,
	} {
		if out := w.raw(text); !strings.HasPrefix(out, "HTTP/1.1 400 ") && !strings.HasPrefix(out, "HTTP/1.1 501 ") || strings.Count(out, "HTTP/1.1") != 1 {
			t.Errorf("%s: %.200s", name, out)
		}
		select {
		case r := <-saw:
			t.Errorf("%s: a region got %s %s", name, r.Method, r.RequestURI)
		default:
		}
	}
}

// RFC 9112, section 6.3: Transfer-Encoding overrides Content-Length. What the
// client meant as the body's rest is not sent on as a request's body either.
func TestTransferEncodingOverridesContentLength(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	out := w.raw("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	if strings.Contains(out, "smuggled") || strings.Count(out, "HTTP/1.1 ") != 1 || !strings.Contains(out, "eu-west-1 POST a /a abc") && !strings.Contains(out, " 400 ") {
		t.Errorf("%s", out)
	}
}

func TestAnswersWithoutBodyHaveNone(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
		}
	}}
	w := newWorld(t, []*region{g})
	for _, tt := range []struct{ request, want string }{
		{"HEAD /", "200 OK"}, {"GET /204", "204 No Content"}, {"GET /304", "304 Not Modified"},
	} {
		out := w.raw(tt.request + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		head, body, _ := strings.Cut(out, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 "+tt.want) || body != "" {
			t.Errorf("%s: %q", tt.request, out)
		}
		if strings.HasPrefix(tt.request, "HEAD") && !strings.Contains(head, "Content-Length: 5") {
			t.Errorf("HEAD lost its length: %q", head)
		}
	}
}

func TestInterimResponsesPass(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.Header().Set("Meridian-Secret", "x")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "done")
	}}
	w := newWorld(t, []*region{g})
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		var early []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			early = append(early, fmt.Sprintf("%d %s%s", status, h.Get("Link"), h.Get("Meridian-Secret")))
			return nil
		}}
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", w.url, nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if len(early) != 1 || early[0] != "103 </a.css>; rel=preload" || resp.Header.Get("Link") != "" {
			t.Errorf("%s: %q, then %v", name, early, resp.Header)
		}
	}
	// The edge itself asks for the body, and only when it will take it.
	out := w.raw("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab")
	if !strings.HasPrefix(out, "HTTP/1.1 100 Continue\r\n") || !strings.HasSuffix(out, "done") {
		t.Errorf("expecting: %q", out)
	}
	out = w.raw("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 20000000\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 413 ") {
		t.Errorf("expecting too much: %q", out)
	}
}

func TestTrailersOfTheRequestPass(t *testing.T) {
	got := make(chan http.Header, 1)
	g := &region{name: "eu-west-1", serve: func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got <- r.Trailer
	}}
	w := newWorld(t, []*region{g})
	w.raw("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Meridian-Identity\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 7\r\nMeridian-Identity: forged\r\n\r\n")
	if tr := <-got; tr.Get("X-Sum") != "7" || len(tr) != 1 {
		t.Errorf("trailers %v", tr)
	}
}

func TestClientThatGoesAwayFreesTheRegion(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	g := &region{name: "eu-west-1", serve: func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}}
	w := newWorld(t, []*region{g, named("us-east-1", time.Second)})
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", w.url+"/"+name, nil)
		done := make(chan error, 1)
		go func() { _, err := c.Do(req); done <- err }()
		<-began
		cancel()
		<-done
		<-ended
		w.until("logged", func() bool { return strings.Contains(w.log.String(), "path=/"+name+" status=499") })
	}
	if s, why := w.origin.State("eu-west-1"); s != 0 {
		t.Errorf("the region is blamed: %s", why)
	}
}

func TestSlowRegionIsA504(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.FirstByte = 50 * time.Millisecond })
	for _, method := range []string{"GET", "POST"} {
		if got := w.do(method, "/", ""); got.status != 504 || !strings.Contains(got.body, "did not answer in time") {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
}

func TestTLSIsOneTwoOrThree(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	https, _ := w.Addrs()
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, MinVersion: version, MaxVersion: version})
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestStopLetsRequestsEndAndLeavesNothing(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		io.WriteString(w, "whole")
	}}
	w := newWorld(t, []*region{g})
	https, _ := w.Addrs()
	answer := make(chan got, 1)
	go func() { answer <- w.do("GET", "/", "") }()
	<-began
	stopped := make(chan struct{})
	go func() { w.stop(); close(stopped) }()
	w.until("closed", func() bool {
		c, err := net.Dial("tcp", https.String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-answer; got.status != 200 || got.body != "whole" {
		t.Errorf("%d %q", got.status, got.body)
	}
	<-stopped
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	for _, c := range []Config{{}, {Place: "a"}, {Place: "a", HTTPS: ":0", TLS: TLS{Policy: "SSLv3"}}} {
		if _, err := New(c, Deps{}); err == nil || meridian.KindOf(err) != meridian.Internal {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestAnEdgeThatStopsLetsRequestsEndForItsDrain: what takes longer is broken off.
func TestAnEdgeThatStopsLetsRequestsEndForItsDrain(t *testing.T) {
	for drain, whole := range map[time.Duration]bool{10 * time.Second: true, 200 * time.Millisecond: false} {
		began, release := make(chan struct{}), make(chan struct{})
		g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
			close(began)
			<-release
			io.WriteString(w, "whole")
		}}
		w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Drain = drain })
		answered := make(chan error, 1)
		go func() { _, err := w.try(w.h2, "POST", "/", "x"); answered <- err }()
		<-began
		stopped := make(chan struct{})
		go func() { w.stop(); close(stopped) }()
		if !whole {
			<-stopped // while the region still works on it
			close(release)
		} else {
			time.AfterFunc(600*time.Millisecond, func() { close(release) })
		}
		if err := <-answered; (err == nil) != whole {
			t.Errorf("drain %v: %v", drain, err)
		}
		<-stopped
	}
}

// A client of HTTP/1.0 may say that in its handshake, as curl --http1.0 does.
func TestHTTP10MayBeAgreedOn(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	https, _ := w.Addrs()
	for want, offer := range map[string][]string{"http/1.0": {"http/1.0"}, "http/1.1": {"http/1.0", "http/1.1"}} {
		c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: offer})
		if err != nil {
			t.Errorf("%v: %v", offer, err)
			continue
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
		out, err := io.ReadAll(c)
		if got := c.ConnectionState().NegotiatedProtocol; err != nil || got != want || !strings.HasPrefix(string(out), "HTTP/1.0 200 OK\r\n") {
			t.Errorf("%v: %q: %.100q, %v", offer, got, out, err)
		}
	}
}
