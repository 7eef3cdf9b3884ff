package edge

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian/internal/framing"
)

// A block is what a client of HTTP/2 sends on one stream.
type blocks struct {
	fields   [][2]string
	body     string
	trailers [][2]string
}

// Between two fields, and a name and its value, in the inputs of the fuzz target:
// bytes that no valid field has.
const (
	fieldEnd = "\xff"
	nameEnd  = "\xfe"
)

func fieldsOf(text string) (out [][2]string) {
	for f := range strings.SplitSeq(text, fieldEnd) {
		if name, value, ok := strings.Cut(f, nameEnd); ok {
			out = append(out, [2]string{name, value})
		}
	}
	return out
}

func textOf(fields ...string) string {
	var all []string
	for i := 0; i < len(fields); i += 2 {
		all = append(all, fields[i]+nameEnd+fields[i+1])
	}
	return strings.Join(all, fieldEnd)
}

// frames writes a conversation of one request.
func (b blocks) frames() string {
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&out, nil)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	var block bytes.Buffer
	pack := hpack.NewEncoder(&block)
	write := func(fields [][2]string, end bool) {
		block.Reset()
		for _, f := range fields {
			pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
	write(b.fields, b.body == "" && b.trailers == nil)
	if b.body != "" {
		fr.WriteData(1, b.trailers == nil, []byte(b.body))
	}
	if b.trailers != nil {
		write(b.trailers, true)
	}
	return out.String()
}

// overTwo has the edge read one request as HTTP/2.
func (e *everybody) overTwo(b blocks) {
	e.begin()
	s := newScript(b.frames())
	s.patient = true
	var at int
	s.told = func(s *script) { // the client leaves when it has its answer
		for len(s.said)-at >= 9 {
			head := s.said[at:]
			at += 9 + int(binary.BigEndian.Uint32(head)>>8)
			typ, stream := http2.FrameType(head[3]), binary.BigEndian.Uint32(head[5:])
			end := (typ == http2.FrameHeaders || typ == http2.FrameData) && http2.Flags(head[4]).Has(http2.FlagDataEndStream)
			if typ == http2.FrameGoAway || stream == 1 && (end || typ == http2.FrameRSTStream) {
				s.patient = false
				s.changed.Broadcast()
			}
		}
	}
	guarded := framing.NewH2(s, framing.Config{Header: e.cfg.Limits.Header})
	e.two.Run(guarded)
	s.Close()
}

// FuzzOneReadingOfHTTP2: what the edge takes of a block of headers is one request
// for the gateway, the event, an origin of HTTP/1.1, and for each lenient reader
// of what it would be in HTTP/1.1, if it were written so without a look at it.
func FuzzOneReadingOfHTTP2(f *testing.F) {
	plain := func(more ...string) string {
		return textOf(append([]string{":method", "POST", ":scheme", "https", ":path", "/a?b", ":authority", "a"}, more...)...)
	}
	for _, more := range [][]string{
		{}, {"x", "y"}, {"content-length", "3"}, {"content-length", "2"}, {"content-length", "03"}, {"Content-Length", "0"}, {"content_length", "0"}, {"transfer_encoding", "chunked"},
		{"x", "y\r\ncontent-length: 0"}, {"x\r\ncontent-length: 0\r\ny", "z"}, {"x:y", "z"}, {"x ", "y"}, {"x", "y\x00"}, {"host", "b"}, {"host", "A"}, {"connection", "x"}, {"te", "trailers"},
		{":path", "/b"}, {":path", "/b HTTP/1.1\r\nx: y"}, {"x", " y "}, {"", "x"}, {"expect", "100-continue"}, {"cookie", "a=b"}, {"cookie", "c=d"},
	} {
		f.Add(plain(more...), "abc", "")
		f.Add(plain(more...), "", "")
		f.Add(strings.Replace(plain(more...), "/a", "/o/a", 1), "abc", textOf("x", "y"))
	}
	for _, path := range []string{"", "*", "a", "/a b", "https://b/c", "//b/c", "/a\r\nx: y", "/a#b", "/\x7f", "?"} {
		f.Add(textOf(":method", "GET", ":scheme", "https", ":path", path, ":authority", "a"), "", "")
	}
	f.Add(textOf(":method", "G ET / HTTP/1.1\r\nHost: b\r\n\r\n", ":scheme", "https", ":path", "/", ":authority", "a"), "", "")
	f.Add(textOf(":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a b"), "", "")
	f.Add(textOf(":method", "GET", ":scheme", "https", ":path", "/", "host", "b"), "", "")
	e := newEverybody(f)
	f.Fuzz(func(t *testing.T, fields, body, trailers string) {
		b := blocks{fieldsOf(fields), body, fieldsOf(trailers)}
		if len(fields)+len(body)+len(trailers) > 8<<10 {
			return
		}
		e.overTwo(b)
		all := e.agree(t)
		if len(all) > 1 {
			t.Fatalf("one stream is %v", all)
		}
		for _, x := range all {
			if x.ran && len(b.fields) > 0 {
				b.seenAs(t, x)
			}
		}
	})
}

// seenAs demands that a request that ran is what its fields say.
func (b blocks) seenAs(t *testing.T, x taken) {
	t.Helper()
	pseudo := map[string]string{}
	var regular [][2]string
	for _, f := range b.fields {
		if strings.HasPrefix(f[0], ":") {
			pseudo[f[0]] = f[1]
		} else if f[0] != "host" {
			regular = append(regular, f)
		} else if pseudo[":authority"] == "" {
			pseudo[":authority"] = f[1]
		}
	}
	want := asRead{pseudo[":method"], pseudo[":path"], pseudo[":authority"], b.body}
	regular = append(regular, [2]string{"host", want.host})
	if got := wrote(want.method, want.target, regular, b.body); got != want || x.asRead != want {
		t.Errorf("fields %q:\nthe edge took %q\na reader %q", b.fields, x.asRead, got)
	}
	for _, f := range b.trailers {
		if got := wrote("GET", "/", append([][2]string{{"host", "a"}}, f), ""); got != (asRead{"GET", "/", "a", ""}) {
			t.Errorf("a trailer %q: %q", f, got)
		}
	}
}
