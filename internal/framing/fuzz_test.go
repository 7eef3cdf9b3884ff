package framing

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
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

// FuzzFlaw: a request of HTTP/2 or 3 that has no flaw is, written as HTTP/1.1, what
// that guard lets through as it stands; and as one head.
func FuzzFlaw(f *testing.F) {
	f.Add("GET", "/x?y", "a:8443", "X", "y")
	f.Add("head", "/x", "a", "X", "y")
	f.Add("GET", "/x#.css", "[::1]", "Transfer_Encoding", "chunked")
	f.Add("OPTIONS", "*", "a..b", "Expect", "100-continue")
	f.Add("GET /admin HTTP/1.1", "/x y", "a;b", "X", " y")
	f.Fuzz(func(t *testing.T, method, target, host, name, value string) {
		switch strings.ToLower(name) {
		case "host", "content-length", "transfer-encoding": // of which FuzzH2 knows
			return
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || len(method)+len(target)+len(host)+len(value) > 1<<10 {
			return // net/http and quic-go refuse it
		}
		r := &http.Request{Method: method, RequestURI: target, Host: host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{name: {value}}}
		if FlawOf(r) != NoFlaw {
			return
		}
		text := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + name + ": " + value + "\r\n\r\n"
		if out, _, _ := through(text, false, false); out != text {
			t.Fatalf("%q without a flaw, and as HTTP/1.1 %q", text, out)
		}
	})
}

// FuzzExtensions: what is taken for chunk extensions ends where a reader finds that
// knows nothing of quoted texts, and is cut in the same places by one that does.
func FuzzExtensions(f *testing.F) {
	f.Add(`a=b`)
	f.Add(` a ; b = "c;\"d" `)
	f.Add(`a="b`)
	f.Add("a=\"\n\"")
	f.Fuzz(func(t *testing.T, s string) {
		if !validExtensions(s) {
			return
		}
		quoted := false
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\' && quoted:
				i++
			case c == '"':
				quoted = !quoted
			case c < ' ' && c != '\t', c == 0x7f:
				t.Fatalf("%q: a control character", s)
			}
		}
		if quoted || s == "" || len(s) > maxExtensions {
			t.Fatalf("%q: a text that does not end, nothing, or too much", s)
		}
		if out, _, _ := through("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;"+s+"\r\nx\r\n0\r\n\r\n", false, false); !strings.HasSuffix(out, "x\r\n0\r\n\r\n") {
			t.Fatalf("%q: %q", s, out)
		}
	})
}
