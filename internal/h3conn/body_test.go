package h3conn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// script is a stream that was said all of.
type script struct{ *bytes.Reader }

func (s script) Peek(p []byte) (int, error) {
	rest, _ := io.ReadAll(io.NewSectionReader(s.Reader, s.Size()-int64(s.Len()), int64(len(p))))
	if n := copy(p, rest); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

// lenient reads DATA frames as quic-go does: a stream that ends, ends the body.
type lenient struct {
	script
	left uint64
}

func (l *lenient) Read(p []byte) (int, error) {
	for l.left == 0 {
		typ, err := quicvarint.Read(l.Reader)
		if err != nil {
			return 0, io.EOF
		}
		n, err := quicvarint.Read(l.Reader)
		if err != nil {
			return 0, io.EOF
		}
		if l.left = n; typ == typeHeaders {
			trailers := make([]byte, n)
			l.left = 0
			if _, err := io.ReadFull(l.Reader, trailers); err != nil {
				return 0, err
			} else if bytes.HasPrefix(trailers, []byte(":")) {
				return 0, errors.New("a pseudo-header")
			}
			return 0, nil
		} else if typ != typeData {
			return 0, fmt.Errorf("was shown a frame of type %d", typ)
		}
	}
	n, err := l.Reader.Read(p[:min(uint64(len(p)), l.left)])
	l.left -= uint64(n)
	return n, err
}

func (l *lenient) Close() error { return nil }

func frame(typ uint64, payload string) string {
	return string(quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload)))) + payload
}

// TestABodyCutInAFrameIsNotWhole cuts a stream of all kinds of frames behind each
// of its bytes. Only what ends with a frame is whole. The control reads as quic-go
// does, and takes others for whole.
func TestABodyCutInAFrameIsNotWhole(t *testing.T) {
	frames := []struct{ text, adds string }{
		{frame(0, "hello "), "hello "}, {frame(0x21, "grease"), ""}, {frame(0, ""), ""}, {frame(0x1f*1000+0x21, ""), ""},
		{frame(0, string(bytes.Repeat([]byte("x"), 70))), string(bytes.Repeat([]byte("x"), 70))}, {frame(1, "trailers"), ""}, {frame(0x40, "more"), ""},
	}
	var text, body string
	whole := map[int]string{0: ""}
	for _, f := range frames {
		text, body = text+f.text, body+f.adds
		whole[len(text)] = body
	}
	taken := 0
	for n := range len(text) + 1 {
		if _, err := readBy(&lenient{script: script{bytes.NewReader([]byte(text[:n]))}}, 512); err == nil {
			taken++
		}
		for _, size := range []int{1, 7, 512} {
			s := script{bytes.NewReader([]byte(text[:n]))}
			got, err := readBy(NewBody(&lenient{script: s}, s), size)
			want, ok := whole[n]
			var b *Breach
			switch {
			case ok && (err != nil || got != want):
				t.Errorf("cut behind %d bytes, where a frame ends: %q, %v, want %q", n, got, err, want)
			case !ok && (!errors.As(err, &b) || b.Code != http3.ErrCodeFrameError || !b.Connection):
				t.Errorf("cut behind %d bytes, in a frame: %q, %v", n, got, err)
			}
		}
	}
	if taken <= len(whole) {
		t.Errorf("the control took %d for whole, and %d are", taken, len(whole))
	}
}

func readBy(r io.Reader, size int) (string, error) {
	var out []byte
	p := make([]byte, size)
	for {
		n, err := r.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			return string(out), nil
		}
		if err != nil {
			return string(out), err
		}
	}
}

func TestWhatIsNoBodyIsABreach(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		code http3.ErrCode // 0: none
	}{
		"a body":                 {frame(0, "x") + frame(0x21, "y") + frame(1, "t"), 0},
		"data behind trailers":   {frame(0, "x") + frame(1, "t") + frame(0, "y"), http3.ErrCodeFrameUnexpected},
		"two trailers":           {frame(1, "t") + frame(1, "t"), http3.ErrCodeFrameUnexpected},
		"settings":               {frame(4, ""), http3.ErrCodeFrameUnexpected},
		"a promise":              {frame(5, "x"), http3.ErrCodeFrameUnexpected},
		"a cancel":               {frame(3, "x"), http3.ErrCodeFrameUnexpected},
		"a push ID":              {frame(0xd, "x"), http3.ErrCodeFrameUnexpected},
		"PING of HTTP/2":         {frame(6, "xxxxxxxx"), http3.ErrCodeFrameUnexpected},
		"ever nothing":           {strings.Repeat(frame(0, ""), 40_000), http3.ErrCodeExcessiveLoad},
		"something between":      {strings.Repeat(frame(0, "")+frame(0, "xx"), 40_000), 0},
		"much grease":            {frame(0x21, strings.Repeat("x", 70_000)), http3.ErrCodeExcessiveLoad},
		"a priority":             {frame(0xf0700, "xx"), http3.ErrCodeFrameUnexpected},
		"trailers that are none": {frame(0, "x") + frame(1, ":path"), http3.ErrCodeMessageError},
	} {
		s := script{bytes.NewReader([]byte(tt.text))}
		_, err := readBy(NewBody(&lenient{script: s}, s), 100)
		var b *Breach
		if errors.As(err, &b); tt.code == 0 && err != nil || tt.code != 0 && (b == nil || b.Code != tt.code || b.Connection != (tt.code != http3.ErrCodeMessageError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestARequestBeginsWithItsHead: what may come before it is skipped.
func TestARequestBeginsWithItsHead(t *testing.T) {
	for name, tt := range map[string]struct {
		text, left string
		code       http3.ErrCode // 0: none
	}{
		"a head":          {frame(1, "head"), frame(1, "head"), 0},
		"grease":          {frame(0x21, "y") + frame(0x40, "") + frame(1, "head"), frame(1, "head"), 0},
		"half a head":     {"\x01", "\x01", 0},
		"nothing":         {"", "", 0},
		"a body":          {frame(0, "x") + frame(1, "head"), "", http3.ErrCodeFrameUnexpected},
		"an empty body":   {frame(0, "") + frame(1, "head"), "", http3.ErrCodeFrameUnexpected},
		"a promise":       {frame(5, "") + frame(1, "head"), "", http3.ErrCodeFrameUnexpected},
		"half of grease":  {frame(0x21, "yyy")[:4], "", http3.ErrCodeFrameError},
		"grease for ever": {strings.Repeat(frame(0x21, ""), 40_000), "", http3.ErrCodeExcessiveLoad},
	} {
		s := script{bytes.NewReader([]byte(tt.text))}
		err := Begin(s)
		var b *Breach
		if errors.As(err, &b); tt.code == 0 && err != nil || tt.code != 0 && (b == nil || b.Code != tt.code || !b.Connection) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := io.ReadAll(s); tt.code == 0 && string(left) != tt.left {
			t.Errorf("%s: %q is left to be read", name, left)
		}
	}
}
