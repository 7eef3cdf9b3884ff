package edge

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/quicvarint"
)

// frame3 is a frame of HTTP/3.
func frame3(typ uint64, payload []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload))), payload...)
}

// TestAHeadOfHTTP3IsOneRequestOrNone writes heads that a client of HTTP/3 would not
// make. What becomes of each: a status, or none; and what a region was asked.
func TestAHeadOfHTTP3IsOneRequestOrNone(t *testing.T) {
	s := &saw{}
	w := newWorld(t, []*region{s.region()})
	for _, tt := range []struct {
		name   string
		fields []string // in place of those of a plain GET, or beside them
		body   string
		want   string
	}{
		{"a plain one", nil, "", "200 GET a /x"},
		{"a request line for a method", []string{":method", "GET /admin HTTP/1.1"}, "", "none"},
		{"a method in small letters", []string{":method", "get"}, "", "400"},
		{"a URI for a path", []string{":path", "https://b/x"}, "", "none"},
		{"a path without a slash", []string{":path", "x"}, "", "none"},
		{"a space in a path", []string{":path", "/x y"}, "", "400"},
		{"a fragment", []string{":path", "/x#.css"}, "", "400"},
		{"a line break in a path", []string{":path", "/x\r\nX: y"}, "", "none"},
		{"a path in the authority", []string{":authority", "a/admin"}, "", "400"},
		{"a user in the authority", []string{":authority", "a@b"}, "", "none"},
		{"another host", []string{"host", "b"}, "", "none"},
		{"a line break in a value", []string{"x", "a\r\nb: c"}, "", "none"},
		{"a NUL in a value", []string{"x", "a\x00b"}, "", "none"},
		{"a value that begins with a space", []string{"x", " a"}, "", "400"},
		{"a colon in a name", []string{"x: y", "a"}, "", "none"},
		{"capitals in a name", []string{"X", "a"}, "", "none"},
		{"a coding", []string{"transfer-encoding", "chunked"}, "", "none"},
		{"a coding in disguise", []string{"transfer_encoding", "chunked"}, "", "400"},
		{"a connection's header", []string{"connection", "close"}, "", "none"},
		{"another te", []string{"te", "gzip"}, "", "none"},
		{"two lengths", []string{"content-length", "1", "content-length", "2"}, "x", "none"},
		{"a length with a sign", []string{"content-length", "+1"}, "x", "none"},
		{"a length that is short", []string{":method", "POST", "content-length", "1"}, "xyz", "none"},
		{"a length that is long", []string{":method", "POST", "content-length", "9"}, "xyz", "none"},
		{"a length that is right", []string{":method", "POST", "content-length", "3"}, "xyz", `200 POST a /x "xyz"`},
	} {
		got := w.head3(t, tt.fields, tt.body)
		for _, line := range s.take() {
			got += " " + strings.TrimSuffix(strings.TrimSuffix(line, "\n"), ` ""`)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// head3 asks on a connection of its own, and returns the status, or "none".
func (w *world) head3(t *testing.T, fields []string, body string) string {
	all := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/x"}}
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
	var block bytes.Buffer
	e := qpack.NewEncoder(&block)
	for _, f := range all {
		e.WriteField(qpack.HeaderField{Name: f[0], Value: f[1]})
	}
	said := frame3(1, block.Bytes())
	if body != "" {
		said = append(said, frame3(0, []byte(body))...)
	}
	stream := w.bare(t).ask(said)
	stream.Close()
	r := quicvarint.NewReader(stream)
	typ, err := quicvarint.Read(r)
	if err != nil || typ != 1 {
		return "none"
	}
	n, _ := quicvarint.Read(r)
	head := make([]byte, n)
	if _, err := io.ReadFull(stream, head); err != nil {
		return "none"
	}
	decode := qpack.NewDecoder().Decode(head)
	f, err := decode()
	if err != nil || f.Name != ":status" {
		t.Fatalf("%q: %v, %v", fields, f, err)
	}
	return f.Value
}
