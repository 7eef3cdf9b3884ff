package edge

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// bluntly answers each path with bytes, as they are, and ends the connection.
func bluntly(t *testing.T, answers map[string]string) *world {
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(c, answers[r.URL.Path])
		c.Close()
	})
	return newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
}

// TestAnOriginsSilenceOnTypesIsPassedOn: what an origin says nothing of, browsers
// judge by its nosniff. A type that is guessed from the bytes of what somebody
// uploaded would be believed. Control: a type that is said passes.
func TestAnOriginsSilenceOnTypesIsPassedOn(t *testing.T) {
	const page = "Cache-Control: max-age=60\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n<html><script>alert(1)</script>"
	w := bluntly(t, map[string]string{
		"/silent":  "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n" + page,
		"/endless": "HTTP/1.1 200 OK\r\n" + page,
		"/said":    "HTTP/1.1 200 OK\r\nContent-Length: 31\r\nContent-Type: text/plain\r\n" + page,
	})
	for name, c := range map[string]*http.Client{"HTTP/1.1": w.h1, "HTTP/2": w.h2, "HTTP/3": w.h3()} {
		for path, want := range map[string]string{"/silent": "", "/endless": "", "/said": "text/plain"} {
			for range 2 { // from the origin, and from the cache
				got, err := w.try(c, "GET", path+"?"+name, "")
				if err != nil || got.status != 200 || len(got.body) != 31 || got.header.Get("Content-Type") != want {
					t.Errorf("%s %s: %d %q, %v", name, path, got.status, got.header["Content-Type"], err)
				}
			}
		}
	}
}

// TestWhatHasNoBodyHasNoLength: a 204 may have none (RFC 9110, section 8.6), and
// clients of HTTP/2 take it for an error (nghttp2), or wait for the body of a 304
// that has one (net/http). Control: the answer to a HEAD has its length.
func TestWhatHasNoBodyHasNoLength(t *testing.T) {
	const head = "Content-Length: 4\r\nX-End: 1\r\nConnection: close\r\n\r\n"
	w := bluntly(t, map[string]string{"/204": "HTTP/1.1 204 No Content\r\n" + head, "/304": "HTTP/1.1 304 Not Modified\r\n" + head, "/200": "HTTP/1.1 200 OK\r\n" + head})
	for name, c := range map[string]*http.Client{"HTTP/1.1": w.h1, "HTTP/2": w.h2, "HTTP/3": w.h3()} {
		for path, length := range map[string]string{"/204": "", "/304": "", "/200": "4"} {
			got, err := w.try(c, map[string]string{"": "GET", "4": "HEAD"}[length], path+"?"+name, "")
			if err != nil || "/"+strconv.Itoa(got.status) != path || got.header.Get("X-End") != "1" || got.header.Get("Content-Length") != length {
				t.Errorf("%s %s: %d %v, %v", name, path, got.status, got.header, err)
			}
		}
	}
}

// TestTrailersSayNothingOfFraming: some programs make headers of trailers. So a
// viewer gets none by which a message is read or who asks is judged (RFC 9110,
// section 6.5.1), announced or not. Control: others pass.
func TestTrailersSayNothingOfFraming(t *testing.T) {
	const forbidden = "Content-Length: 9\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nCache-Control: public\r\n"
	w := bluntly(t, map[string]string{
		"/": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Content-Encoding, Cache-Control\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n" + forbidden + "X-Late: 1\r\n\r\n",
	})
	_, trailers, _ := strings.Cut(w.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "\r\n0\r\n")
	if trailers != "X-Late: 1\r\nX-Sum: 7\r\n\r\n" {
		t.Errorf("HTTP/1.1: %q", trailers)
	}
	for name, c := range map[string]*http.Client{"HTTP/2": w.h2, "HTTP/3": w.h3()} {
		resp, err := c.Get(w.url + "/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if len(resp.Trailer) != 2 || resp.Trailer.Get("X-Sum") != "7" || resp.Trailer.Get("X-Late") != "1" {
			t.Errorf("%s: %v", name, resp.Trailer)
		}
	}
}
