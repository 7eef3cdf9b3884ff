package edge

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestABlockOfHeadersIsOneRequestOrNone sends blocks that a client of HTTP/2 would
// not make. What becomes of each: a status, or the reset of its stream; and what
// a region was asked.
func TestABlockOfHeadersIsOneRequestOrNone(t *testing.T) {
	s := &saw{}
	w := newWorld(t, []*region{s.region()})
	for _, tt := range []struct {
		name   string
		fields []string // in place of those of a plain GET, or beside them
		want   string
	}{
		{"a plain one", nil, "200 GET a /x"},
		{"a port", []string{":authority", "a:8443"}, "200 GET a:8443 /x"},
		{"a method that nobody knows", []string{":method", "M-SEARCH"}, "200 M-SEARCH a /x"},
		{"a request line for a method", []string{":method", "GET /admin HTTP/1.1"}, "400"},
		{"a method in small letters", []string{":method", "head"}, "400"},
		{"TRACK", []string{":method", "TRACK"}, "405"},
		{"a URI for a path", []string{":path", "https://b/x"}, "400"},
		{"a fragment", []string{":path", "/x#.css"}, "400"},
		{"a fragment in a query", []string{":path", "/x?a#b"}, "400"},
		{"the asterisk with GET", []string{":path", "*"}, "400"},
		{"a space in a path", []string{":path", "/x y"}, "400"},
		{"a path in the authority", []string{":authority", "a/admin"}, "400"},
		{"a space in the authority", []string{":authority", "a b"}, "400"},
		{"a port that is none", []string{":authority", "a:b"}, "400"},
		{"marks in the authority", []string{":authority", "a;b"}, "400"},
		{"an address that does not end", []string{":authority", "[::1"}, "400"},
		{"no authority", []string{":authority", ""}, "400"},
		{"a value that begins with a space", []string{"x", " y"}, "400"},
		{"a value that ends with a tab", []string{"x", "y\t"}, "400"},
		{"a length, and no body", []string{"content-length", "3"}, "reset"},
		{"a length of nothing", []string{"content-length", "0"}, "200 GET a /x"},
	} {
		got := w.block(tt.fields)
		for _, line := range s.take() {
			got += " " + strings.TrimSuffix(line, " \"\"\n")
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A body that ends short of its length is malformed (RFC 9113, section 8.1.1):
// nobody is shown it for whole, and its sender hears so.
func TestABodyShortOfItsLengthIsMalformed(t *testing.T) {
	var whole atomic.Bool
	srv, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			whole.Store(true)
		}
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	_, fr := w.frames()
	var packed bytes.Buffer
	pack := hpack.NewEncoder(&packed)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", "/x"}, {":authority", "a"}, {"content-length", "70000"}} {
		pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: packed.Bytes(), EndHeaders: true})
	fr.WriteData(1, true, []byte("abc"))
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := f.(*http2.RSTStreamFrame); ok {
			t.Fatalf("reset with %s", r.ErrCode)
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			if s := h.PseudoValue("status"); s != "400" {
				t.Errorf("answered %s", s)
			}
			break
		}
	}
	if srv.Close(); whole.Load() { // it waits for what goes on
		t.Error("the origin took it for whole")
	}
}

// block asks for /x with other fields than a client would send, and returns the
// status or "reset".
func (w *world) block(fields []string) string {
	_, fr := w.frames()
	all := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {":authority", "a"}}
	for i := 0; i < len(fields); i += 2 {
		for j := range all {
			if all[j][0] == fields[i] {
				all[j][1] = fields[i+1]
			}
		}
		if !strings.HasPrefix(fields[i], ":") {
			all = append(all, [2]string{fields[i], fields[i+1]})
		}
	}
	var packed bytes.Buffer
	pack := hpack.NewEncoder(&packed)
	for _, f := range all {
		if f != [2]string{":authority", ""} {
			pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: packed.Bytes(), EndHeaders: true, EndStream: true})
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			w.t.Fatalf("%q: %v", fields, err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			if f.ErrCode != http2.ErrCodeProtocol {
				w.t.Errorf("%q: %s", fields, f.ErrCode)
			}
			return "reset"
		}
	}
}

func TestHTTP3TakesOneReadingOnly(t *testing.T) {
	s := &saw{}
	w := newWorld(t, []*region{s.region()})
	c := w.h3()
	for _, tt := range []struct{ method, host, target, value, want string }{
		{"GET", "a", "/x", "y", "200 GET a /x"},
		{"get", "a", "/x", "y", "400"},
		{"TRACK", "a", "/x", "y", "405"},
		{"GET", "a:b", "/x", "y", "400"},
		{"GET", "a;b", "/x", "y", "400"},
		{"GET", "a", "/x#.css", "y", "400"},
	} {
		req, _ := http.NewRequest("GET", w.url, nil)
		req.Method, req.Host, req.URL = tt.method, tt.host, &url.URL{Scheme: "https", Host: req.URL.Host, Opaque: tt.target}
		req.Header.Set("X", tt.value)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		resp.Body.Close()
		got := resp.Status[:3]
		for _, line := range s.take() {
			got += " " + strings.TrimSuffix(line, " \"\"\n")
		}
		if got != tt.want {
			t.Errorf("%s %s %s: %s, want %s", tt.method, tt.host, tt.target, got, tt.want)
		}
	}
}

// A program that makes headers of trailers would believe them. Control: another
// trailer is sent.
func TestTrailersSayNothingThatAHeaderMayNot(t *testing.T) {
	trailers := make(chan http.Header, 1)
	_, o := stranger(t, false, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	})
	for _, p := range []RequestPolicy{{}, {Name: "AllViewer", Headers: all, Cookies: all, Query: all}, {Name: "few", Headers: allow("X-Sum")}} {
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets", Request: p}))
		forbidden := []string{"Authorization", "Cookie", "Content-Type", "Content-Encoding", "Content-Range", "Cache-Control", "Expect", "Forwarded", "Idempotency-Key", "If-Match", "Max-Forwards",
			"Meridian-Identity", "Proxy-Authorization", "Range", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Meridian-Request"}
		text := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum," + strings.Join(forbidden, ",") + "\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n"
		for _, name := range forbidden {
			text += name + ": forged\r\n"
		}
		if answer := w.raw(text + "\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatalf("%s: %s", p.Name, answer)
		}
		got := <-trailers
		if len(got) != 1 || got.Get("X-Sum") != "1" {
			t.Errorf("%s: %v", p.Name, got)
		}
	}
}

// Control: who is sent all is sent that too.
func TestHeadersThatOverrideARequestAreNotSent(t *testing.T) {
	saw := make(chan http.Header, 1)
	_, o := stranger(t, false, func(_ http.ResponseWriter, r *http.Request) { saw <- r.Header })
	names := append([]string{"Proxy", "X-Real-Ip"}, overriding...)
	for want, p := range map[int]RequestPolicy{0: {}, len(overriding): {Name: "AllViewer", Headers: all, Cookies: all, Query: all}} {
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets", Request: p}))
		var forged []string
		for _, name := range names {
			forged = append(forged, name, "forged")
		}
		w.do("GET", "/x", "", forged...)
		got, n := <-saw, 0
		for _, name := range names {
			n += len(got[name])
		}
		if n != want || got["Proxy"] != nil || got["X-Real-Ip"] != nil {
			t.Errorf("%d of them, want %d: %v", n, want, got)
		}
	}
}
