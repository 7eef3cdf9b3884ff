package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"meridian/identity"
)

// echoBits sends each byte back as it comes.
func echoBits(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	w.Header().Set("Trailer", "X-Sum")
	buf := make([]byte, 1)
	for n := 0; ; n++ {
		if _, err := r.Body.Read(buf); err != nil {
			w.Header().Set("X-Sum", fmt.Sprint(n))
			return
		}
		w.Write(buf)
		control.Flush()
	}
}

// ways are worlds whose paths lead to a region, and to an origin of each
// protocol, that serve the same.
func ways(t *testing.T, serve http.HandlerFunc) map[string]*world {
	_, h1 := stranger(t, false, serve)
	_, h2 := stranger(t, true, serve)
	to := Behavior{Path: "*", Origin: "assets"}
	return map[string]*world{
		"a region":            newWorld(t, []*region{{name: "eu-west-1", serve: serve}}),
		"an origin, HTTP/1.1": newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(h1, to)),
		"an origin, HTTP/2":   newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(h2, to)),
	}
}

func TestBodiesStreamBothWaysAtOnce(t *testing.T) {
	for to, w := range ways(t, echoBits) {
		for from, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("POST", w.url, pr)
			answered := make(chan *http.Response, 1)
			go func() {
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
				}
				answered <- resp
			}()
			pw.Write([]byte("a"))
			resp := <-answered
			if resp == nil {
				t.Fatalf("from %s to %s", from, to)
			}
			for _, c := range "abcde" {
				buf := make([]byte, 1)
				if _, err := io.ReadFull(resp.Body, buf); err != nil || rune(buf[0]) != c {
					t.Fatalf("from %s to %s: %q, %v; want %q", from, to, buf, err, c)
				}
				if c != 'e' {
					pw.Write([]byte{byte(c) + 1})
				}
			}
			pw.Close()
			if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF || resp.Trailer.Get("X-Sum") != "5" {
				t.Errorf("from %s to %s: %v, trailers %v", from, to, err, resp.Trailer)
			}
			resp.Body.Close()
		}
	}
}

// What is larger than all buffers on the way passes in both directions at once:
// who writes waits for who reads, and for nobody else.
func TestLargeBodiesPassBothWaysAtOnce(t *testing.T) {
	const size = 6 << 20
	for to, w := range ways(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}) {
		for from, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			resp, err := c.Post(w.url, "application/octet-stream", io.MultiReader(bytes.NewReader(body)))
			if err != nil {
				t.Fatalf("from %s to %s: %v", from, to, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("from %s to %s: %d bytes, %v", from, to, len(got), err)
			}
		}
	}
}

// An answer that comes before its request has ended does not leave the rest of
// the body to be read as the next request.
func TestAnEarlyAnswerLeavesNothingToBeReadAsARequest(t *testing.T) {
	for to, w := range ways(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "early")
	}) {
		for _, length := range []int{60, 600_000} {
			smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
			rest := smuggled + strings.Repeat("x", length-len(smuggled))
			out := w.raw(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", length, rest) + "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(out, "HTTP/1.1 200 ") || strings.Count(out, "HTTP/1.1 ") > 2 || strings.Contains(w.log.String(), "path=/smuggled") {
				t.Errorf("%s, %d bytes: %.400s", to, length, out)
			}
		}
	}
}

func TestInterimResponsesAndTrailersPassFromEveryOrigin(t *testing.T) {
	for to, w := range ways(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Trailer", "X-Announced")
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "done "+r.Trailer.Get("X-Up"))
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"X-Late", "l")
		w.Header().Set(http.TrailerPrefix+"Meridian-Identity", "forged")
	}) {
		for from, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
			var early []string
			trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				early = append(early, fmt.Sprintf("%d %s", status, h.Get("Link")))
				return nil
			}}
			req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", w.url, io.MultiReader(strings.NewReader("x")))
			req.Trailer = http.Header{"X-Up": {"u"}}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if len(early) != 1 || early[0] != "103 </a.css>; rel=preload; as=style" || resp.Header.Get("Link") != "" {
				t.Errorf("from %s to %s: %q, then %v", from, to, early, resp.Header)
			}
			if string(text) != "done u" || resp.Trailer.Get("X-Announced") != "a" || resp.Trailer.Get("X-Late") != "l" || resp.Trailer.Get("Meridian-Identity") != "" {
				t.Errorf("from %s to %s: %q, trailers %v", from, to, text, resp.Trailer)
			}
		}
	}
}

// An interim response says no more of the edge and of its viewer than the final
// one of a strange origin may.
func TestAStrangersInterimResponseIsNoMoreTrusted(t *testing.T) {
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Link", "</a.css>; rel=preload; as=style")
		for name, value := range map[string]string{"Alt-Svc": `h3="evil.test:443"`, "X-Meridian-Request": "x", "X-Meridian-Edge": "x", "Meridian-Identity": "x"} {
			h.Set(name, value)
		}
		h["Set-Cookie"] = []string{identity.CookieConsistency + "=x; Path=/", "sid=1"}
		w.WriteHeader(http.StatusEarlyHints)
		clear(h)
		io.WriteString(w, "done")
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for from, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		var early []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			early = append(early, fmt.Sprint(h))
			return nil
		}}
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", w.url, nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if want := "map[Link:[</a.css>; rel=preload; as=style] Set-Cookie:[sid=1]]"; len(early) != 1 || early[0] != want {
			t.Errorf("%s: %q, want %s", from, early, want)
		}
	}
}

func TestExpectations(t *testing.T) {
	reads := make(chan bool, 1)
	for to, w := range ways(t, func(w http.ResponseWriter, r *http.Request) {
		if <-reads {
			io.Copy(io.Discard, r.Body)
		}
		if r.Header.Get("Expect") != "" {
			t.Error("Expect was sent on")
		}
		w.WriteHeader(http.StatusTeapot)
	}) {
		reads <- true
		out := w.raw("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab")
		if !strings.HasPrefix(out, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 418 ") {
			t.Errorf("%s: expecting: %.200q", to, out)
		}
		out = w.raw("POST / HTTP/1.1\r\nHost: a\r\nExpect: a-pony\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab")
		if !strings.HasPrefix(out, "HTTP/1.1 417 ") || strings.Contains(out, " 418 ") {
			t.Errorf("%s: expecting a pony: %.200q", to, out)
		}
		if got := w.do("POST", "/", "ab", "Expect", "a-pony"); got.status != 417 || !strings.Contains(got.body, "100-continue") {
			t.Errorf("%s: expecting a pony over HTTP/2: %d %s", to, got.status, got.body)
		}
	}
}

// Events go out as they come, whatever the viewer accepts, and an end that the
// viewer makes reaches the origin.
func TestEventsPassAsTheyCome(t *testing.T) {
	gone := make(chan struct{}, 1)
	for to, w := range ways(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "id: %s\ndata: one\n\n", r.Header.Get("Last-Event-Id"))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	}) {
		for from, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, "GET", w.url, nil)
			req.Header = http.Header{"Accept-Encoding": {"gzip, br, zstd"}, "Last-Event-Id": {"7"}, "Accept": {"text/event-stream"}}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			want := "id: 7\ndata: one\n\n"
			buf := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != want {
				t.Errorf("from %s to %s: %q, %v", from, to, buf, err)
			}
			cancel()
			<-gone
			resp.Body.Close()
		}
	}
}
