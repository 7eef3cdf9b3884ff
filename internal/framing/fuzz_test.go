package framing

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// FuzzH2: whatever a client sends, what comes through is the same in any cut, and
// net/http takes no request of two readings from it.
func FuzzH2(f *testing.F) {
	f.Add(conversation(func(fr *http2.Framer) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: asked("te", "gzip"), EndHeaders: true})
		fr.WriteData(1, true, []byte("x"))
	}))
	f.Add(conversation(func(fr *http2.Framer) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: asked("host", "b")[:5]})
		fr.WriteContinuation(1, true, asked("host", "b")[5:])
		fr.WriteSettings(http2.Setting{ID: 4, Val: 1}, http2.Setting{ID: 4, Val: 2})
	}))
	f.Fuzz(func(t *testing.T, text string) {
		out, _, _ := through(text, false, true)
		if slow, _, _ := through(text, true, true); slow != out {
			t.Fatalf("%q byte by byte, %q else", slow, out)
		}
		taken, _ := read(t, out)
		for _, h := range taken {
			var fields fields
			for _, f := range h.Fields {
				fields.add(f.Name, f.Value)
			}
			if why := fields.verdict(); why != "" {
				t.Fatalf("taken: %s: %v", why, h.Fields)
			}
		}
	})
}

// FuzzH1: whatever a client sends, what comes through is the same in any cut,
// and is no more requests for net/http's parser than for this one. It may be
// fewer: net/http refuses targets that are no URL.
func FuzzH1(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG")
	f.Add("\r\nGET / HTTP/1.0\r\n\r\n\nGET / HTTP/1.1\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		out, _, _ := through(text, false, false)
		if slow, _, _ := through(text, true, false); slow != out {
			t.Fatalf("%q byte by byte, %q else", slow, out)
		}
		c := NewH1(&pipe{from: strings.NewReader(text)}, Config{Header: 1 << 10})
		io.Copy(io.Discard, c)
		if c.raw.Load() {
			return
		}
		heads := 0
		for from := bufio.NewReader(strings.NewReader(out)); ; heads++ {
			r, err := http.ReadRequest(from)
			if err != nil {
				break
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				heads++
				break
			}
		}
		if heads > c.heads {
			t.Fatalf("net/http reads %d requests, the guard %d: %q", heads, c.heads, out)
		}
	})
}
