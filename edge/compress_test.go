package edge

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// decode reads a body in its Content-Encoding, which must be whole.
func decode(t testing.TB, coding, body string) string {
	t.Helper()
	var from io.Reader = strings.NewReader(body)
	switch coding {
	case "br":
		from = brotli.NewReader(from)
	case "zstd":
		z, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(8<<20)) // RFC 9659
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		from = z
	case "gzip":
		z, err := gzip.NewReader(from)
		if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		from = z
	}
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return string(text)
}

var prose = strings.Repeat("All work and no play makes Jack a dull boy. ", 200)

// telling is a region that answers prose with the headers that the query names.
func telling() *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for name, values := range r.URL.Query() {
			w.Header()[name] = values
		}
		if _, ok := r.URL.Query()["Content-Range"]; ok {
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, prose)
	}}
}

func TestResponsesAreCompressedForWhoAcceptsIt(t *testing.T) {
	w := newWorld(t, []*region{telling()})
	for _, tt := range []struct{ accept, first, hit string }{
		{"gzip, deflate, br, zstd", "zstd", "br"},
		{"gzip, br", "gzip", "br"},
		{"br;q=0.5, gzip;q=0.8", "gzip", "gzip"},
		{"br", "br", "br"},
		{"zstd", "zstd", "zstd"},
		{"*", "zstd", "br"},
		{"br;q=0, *", "zstd", "zstd"},
		{"identity, gzip;q=0.5", "", ""},
		{"deflate", "", ""},
		{"", "", ""},
	} {
		path := "/?Cache-Control=max-age%3D60&Etag=%22x%22&Content-Length=" + strconv.Itoa(len(prose)) + "&for=" + fmt.Sprint(len(tt.accept), tt.accept[:min(2, len(tt.accept))])
		path = strings.ReplaceAll(path, " ", "")
		for i, want := range []string{tt.first, tt.hit, tt.hit} {
			got := w.do("GET", path, "", "Accept-Encoding", tt.accept)
			coding := got.header.Get("Content-Encoding")
			if i == 0 && coding == tt.hit { // all of the body was there before it was answered
				want = coding
			}
			if text := decode(t, coding, got.body); coding != want || text != prose {
				t.Errorf("%s, request %d: %q, %d bytes; want %q", tt.accept, i, coding, len(text), want)
			}
			if v := got.header.Get("Vary"); v != "Accept-Encoding" {
				t.Errorf("%s, request %d: Vary %q", tt.accept, i, v)
			}
			etag, length := `"x"`, strconv.Itoa(len(got.body))
			if want != "" {
				etag = `W/"x"`
			}
			if got.header.Get("Etag") != etag || (i > 0 || want == "") && got.header.Get("Content-Length") != length {
				t.Errorf("%s, request %d: %v", tt.accept, i, got.header)
			}
			// HEAD says what GET would.
			if head := w.do("HEAD", path, "", "Accept-Encoding", tt.accept); i > 0 {
				for _, name := range []string{"Content-Encoding", "Content-Length", "Etag", "Vary"} {
					if head.header.Get(name) != got.header.Get(name) {
						t.Errorf("%s: HEAD says %s %q, GET %q", tt.accept, name, head.header.Get(name), got.header.Get(name))
					}
				}
			}
		}
	}
}

func TestWhatIsLeftAsItIs(t *testing.T) {
	w := newWorld(t, []*region{telling()}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/plain", Plain: true}}
	})
	for _, path := range []string{
		"/?Cache-Control=no-transform", "/?Content-Encoding=x", "/?Content-Type=image/png", "/?Content-Digest=x", "/?Content-Range=bytes+0-99%2F100",
		"/?Content-Type=text/event-stream", "/plain",
	} {
		got := w.do("GET", path, "", "Accept-Encoding", "br, gzip, zstd")
		if got.body != prose || got.header.Get("Vary") != "" {
			t.Errorf("%s: %v", path, got.header)
		}
	}
	if got := w.do("GET", "/", "", "Accept-Encoding", "br", "Cache-Control", "no-transform"); got.body != prose || got.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("the request's no-transform: %v", got.header)
	}
	if got := w.do("GET", "/", "", "Accept-Encoding", "br", "Range", "bytes=0-9"); got.header.Get("Content-Encoding") != "br" {
		t.Errorf("a Range that the origin ignores: %v", got.header) // the control of all of these
	}
}

func TestAConditionWithTheChangedTagStillHolds(t *testing.T) {
	w := newWorld(t, []*region{telling()})
	const path = "/?Cache-Control=max-age%3D60&Etag=%22x%22"
	w.do("GET", path, "")
	for condition, want := range map[string]string{`W/"x"`: `W/"x"`, `"x"`: `"x"`, `"a", W/"x"`: `W/"x"`, `W/"x", "x"`: `W/"x"`, "*": `"x"`} {
		got := w.do("GET", path, "", "Accept-Encoding", "br", "If-None-Match", condition)
		if etag := got.header.Get("Etag"); got.status != 304 || etag != want && condition != `W/"x", "x"` {
			t.Errorf("%s: %d, Etag %s, want %s", condition, got.status, etag, want)
		}
	}
	if got := w.do("GET", path, "", "Accept-Encoding", "br", "If-None-Match", `W/"y"`); got.status != 200 {
		t.Errorf("another tag: %d", got.status)
	}
	// If-Range compares strongly: who has a part of the encoded body gets the whole.
	if got := w.do("GET", path, "", "Accept-Encoding", "br", "Range", "bytes=0-9", "If-Range", `W/"x"`); got.status != 200 {
		t.Errorf("If-Range with the changed tag: %d", got.status)
	}
	if got := w.do("GET", path, "", "Accept-Encoding", "br", "Range", "bytes=0-9", "If-Range", `"x"`); got.status != 206 || got.body != prose[:10] || got.header.Get("Content-Encoding") != "" || got.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("a part: %d %v", got.status, got.header)
	}
}

// RFC 9110, section 13.1.1: If-Match compares strongly. A write that is meant
// for what a viewer saw encoded is one for what the origin has.
func TestIfMatchOfAnEncodedRepresentationReachesTheOrigin(t *testing.T) {
	g, saw := capturing()
	w := newWorld(t, []*region{g})
	w.do("PUT", "/", "x", "If-Match", `W/"a", "b"`)
	if r := <-saw; r.Header.Get("If-Match") != `"a", "b"` {
		t.Errorf("got %q", r.Header["If-Match"])
	}
	w.do("PUT", "/", "x", "If-Match", `W/"a"`, "Authorization", "AWS4-HMAC-SHA256 Credential=x")
	if r := <-saw; r.Header.Get("If-Match") != `W/"a"` {
		t.Errorf("a header that is signed was changed: %q", r.Header["If-Match"])
	}
}

func TestEachBitOfAStreamGoesOutAtOnceCompressed(t *testing.T) {
	next := make(chan string)
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Accept"))
		for s := range next {
			io.WriteString(w, s)
			http.NewResponseController(w).Flush()
		}
	}}
	w := newWorld(t, []*region{g})
	for _, c := range []*http.Client{w.h1, w.h2} {
		for _, coding := range []string{"br", "zstd", "gzip", "text/event-stream"} {
			next = make(chan string)
			req, _ := http.NewRequest("GET", w.url+"/", nil)
			req.Header.Set("Accept-Encoding", coding)
			req.Header.Set("Accept", "application/x-ndjson")
			if coding == "text/event-stream" {
				req.Header.Set("Accept", coding)
			}
			go func() { next <- "first\n" }()
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			read := reading(t, resp)
			for _, want := range []string{"first\n", "second\n", "third\n"} {
				if got := read(len(want)); got != want {
					t.Fatalf("%s: %q, want %q", coding, got, want)
				}
				switch want {
				case "first\n":
					next <- "second\n"
				case "second\n":
					next <- "third\n"
				}
			}
			close(next)
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			resp.Body.Close()
		}
	}
}

// reading returns what reads the next bytes of a decoded body.
func reading(t *testing.T, resp *http.Response) func(n int) string {
	var from io.Reader = resp.Body
	var err error
	switch resp.Header.Get("Content-Encoding") {
	case "br":
		from = brotli.NewReader(from)
	case "zstd":
		from, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
	case "gzip":
		from, err = gzip.NewReader(from)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(n int) string {
		b := make([]byte, n)
		if _, err := io.ReadFull(from, b); err != nil {
			t.Fatalf("%s: %v", resp.Header.Get("Content-Encoding"), err)
		}
		return string(b)
	}
}

// A body that breaks off must not look whole to who decodes it.
func TestABodyThatBreaksOffHasNoCodingsEnd(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, prose)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}
	w := newWorld(t, []*region{g})
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		got, err := w.try(c, "GET", "/", "", "Accept-Encoding", "gzip")
		if err == nil {
			t.Errorf("%s: %d bytes and no error", name, len(got.body))
		}
		if z, err := gzip.NewReader(bytes.NewReader([]byte(got.body))); err == nil {
			if _, err := io.ReadAll(z); err == nil {
				t.Errorf("%s: the part decodes as if it were whole", name)
			}
		}
	}
	w.until("all tickets are back", func() bool { return w.compress.Flying() == 0 })
}

// BenchmarkEncodedHit is what an answer from memory costs the edge's handler:
// plain, and encoded.
func BenchmarkEncodedHit(b *testing.B) {
	text := strings.Repeat(`{"slug": "how-to-train-your-dragon", "favoritesCount": 17}, `, 340) // 20 kB
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	}}
	w := newWorld(b, []*region{g}, func(_ *Config, d *Deps, _ *world) { d.Log = nil })
	for _, accept := range []string{"identity", "gzip", "zstd", "br"} {
		b.Run(accept, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = domain
			r.Header.Set("Accept-Encoding", accept)
			b.ReportAllocs()
			for b.Loop() {
				w.ServeHTTP(&discarding{h: http.Header{}}, r)
			}
		})
	}
}

// A discarding writer answers nobody.
type discarding struct{ h http.Header }

func (d *discarding) Header() http.Header         { return d.h }
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarding) WriteHeader(int)             {}
func (d *discarding) FlushError() error           { return nil }
