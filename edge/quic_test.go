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
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// h3 returns a client of HTTP/3, which resumes its TLS sessions.
func (w *world) h3() *http.Client {
	https, _ := w.Addrs()
	tr := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: domain, ClientSessionCache: tls.NewLRUClientSessionCache(4)},
		Dial: func(ctx context.Context, _ string, conf *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, https.String(), conf, q)
		},
	}
	w.t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr}
}

func TestHTTP3IsTheSameDoor(t *testing.T) {
	w := newWorld(t, threeRegions())
	for _, method := range []string{"GET", "POST", "DELETE"} {
		body, want := "", "eu-west-1 "+method+" api.example.test /articles?x=1 "
		if method == "POST" {
			body, want = "hello", want+"hello"
		}
		req, _ := http.NewRequest(method, w.url+"/articles?x=1", io.MultiReader(strings.NewReader(body))) // of unknown length
		if body == "" {
			req.Body = nil
		}
		resp, err := w.h3().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.Proto != "HTTP/3.0" || string(text) != want || resp.Header.Get("X-Meridian-Edge") != "eu-west-1" {
			t.Errorf("%s %s: %q, want %q", resp.Proto, method, text, want)
		}
	}
	w.until("logged", func() bool { return strings.Contains(w.log.String(), "protocol=HTTP/3.0 method=GET") })
}

func TestHTTP3IsAnnouncedOnTCP(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Alt-Svc", `h3=":1"`) }}
	w := newWorld(t, []*region{g})
	https, _ := w.Addrs()
	_, port, _ := net.SplitHostPort(https.String())
	off := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.HTTP3.Off = true })
	for _, tt := range []struct {
		name string
		c    *http.Client
		w    *world
		want string
	}{
		{"h1", w.h1, w, `h3=":` + port + `"; ma=86400`}, {"h2", w.h2, w, `h3=":` + port + `"; ma=86400`},
		{"h3", w.h3(), w, ""}, {"off", off.h2, off, ""},
	} {
		resp, err := tt.c.Get(tt.w.url + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Alt-Svc"); got != tt.want {
			t.Errorf("%s: Alt-Svc %q, want %q", tt.name, got, tt.want)
		}
	}
	closed, _ := off.Addrs()
	l, err := net.ListenPacket("udp", closed.String())
	if err != nil {
		t.Fatalf("HTTP/3 is off, and its port is taken: %v", err)
	}
	l.Close()
}

func TestHTTP3CarriesWhatTheOthersDo(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "7"+r.Trailer.Get("X-Ask"))
		w.Header().Set(http.TrailerPrefix+"X-More", "8")
	}}
	w := newWorld(t, []*region{g})
	var early []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		early = append(early, fmt.Sprintf("%d %s", status, h.Get("Link")))
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", w.url, io.MultiReader(strings.NewReader("abc")))
	req.Trailer = http.Header{"X-Ask": {"3"}}
	resp, err := w.h3().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(text) != "abc" || resp.Trailer.Get("X-Sum") != "73" || resp.Trailer.Get("X-More") != "8" || len(early) != 1 || early[0] != "103 </a.css>; rel=preload" {
		t.Errorf("body %q, trailers %v, interim %q, %v", text, resp.Trailer, early, err)
	}
}

func TestHTTP3StreamsBothWays(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 1)
		for {
			if _, err := r.Body.Read(buf); err != nil {
				return
			}
			w.Write(buf)
			http.NewResponseController(w).Flush()
		}
	}}
	w := newWorld(t, []*region{g})
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", w.url, pr)
	go pw.Write([]byte("a"))
	resp, err := w.h3().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for c := byte('a'); c <= 'e'; c++ {
		buf := make([]byte, 1)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || buf[0] != c {
			t.Fatalf("got %q, %v; want %q", buf, err, c)
		}
		if c < 'e' {
			pw.Write([]byte{c + 1})
		}
	}
	pw.Close()
}

func TestHTTP3ClientThatGoesAwayFreesTheRegion(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	g := &region{name: "eu-west-1", serve: func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}}
	w := newWorld(t, []*region{g})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", w.url, nil)
	done := make(chan error, 1)
	c := w.h3()
	go func() { _, err := c.Do(req); done <- err }()
	<-began
	cancel()
	<-done
	<-ended
}

func TestHTTP3ResponseThatBreaksOffIsReset(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(4*heldBack))
		io.WriteString(w, strings.Repeat("half", heldBack/2))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}
	w := newWorld(t, []*region{g})
	if got, err := w.try(w.h3(), "POST", "/", ""); err == nil {
		t.Errorf("%d %q, and no error", got.status, got.body)
	}
}

// Control: another name with an underscore passes.
func TestHTTP3RefusesFramingInDisguise(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	c := w.h3()
	for name, want := range map[string]int{"transfer_encoding": 400, "Content_length": 400, "content_type": 200} {
		if got, err := w.try(c, "POST", "/", "abc", name, "chunked"); err != nil || got.status != want {
			t.Errorf("%s: %d, %v; want %d", name, got.status, err, want)
		}
	}
}

func TestHTTP3LimitsAreKept(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Limits.Body = 100_000 })
	c := w.h3()
	for _, tt := range []struct {
		name, header, body string
		want               int
	}{
		{"a header over the limit", strings.Repeat("x", 33<<10), "", 431}, {"one that the engine does not hold", strings.Repeat("x", 70<<10), "", 431},
		{"a body over the limit", "", strings.Repeat("x", 100_001), 413}, {"a fine one", "x", "x", 200},
	} {
		got, err := w.try(c, "POST", "/", tt.body, "X-Big", tt.header)
		if err != nil || got.status != tt.want {
			t.Errorf("%s: %d, %v; want %d", tt.name, got.status, err, tt.want)
		}
	}
}

func TestHTTP3StopLetsRequestsEnd(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			once.Do(func() { close(began) })
			<-release
		}
		io.WriteString(w, "whole")
	}}
	w := newWorld(t, []*region{g})
	busy, idle := w.h3(), w.h3()
	if _, err := w.try(idle, "GET", "/", ""); err != nil {
		t.Fatal(err)
	}
	type answered struct {
		got
		err error
	}
	answer := make(chan answered, 1)
	go func() { a, err := w.try(busy, "GET", "/slow", ""); answer <- answered{a, err} }()
	<-began
	stopped := make(chan struct{})
	go func() { w.stop(); close(stopped) }()
	w.until("closed to newcomers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", w.url, nil)
		_, err := w.h3().Do(req)
		return err != nil
	})
	close(release)
	if a := <-answer; a.err != nil || a.body != "whole" {
		t.Errorf("%q, %v", a.body, a.err)
	}
	<-stopped // the idle client has not closed its connection
}
