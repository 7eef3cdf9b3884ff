package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"meridian/internal/framing"
)

// A body that ends in the middle of a frame is not whole (RFC 9114, section 7.1):
// neither a region nor another origin takes it for that. Control: the same with
// what is missing.
func TestHTTP3BodyCutInAFrameIsNotWhole(t *testing.T) {
	var mu sync.Mutex
	var taken []string
	take := func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, string(b))
		io.WriteString(w, "taken")
	}
	_, o := stranger(t, false, take)
	w := newWorld(t, []*region{{name: "eu-west-1", serve: take}}, behaviors(o, Behavior{Path: "/assets/*", Origin: "assets"}))
	trailers := []byte{0, 0, 0x27, 0, 'x', '-', 't', 'a', 'i', 'l', 's', 1, 'y'}
	for name, tt := range map[string]struct {
		said []byte
		cut  int // bytes that are missing
	}{
		"in DATA":              {frame3(0, []byte("deposit 100; withdraw 100")), 14},
		"in an empty one":      {slices.Concat(frame3(0, []byte("deposit")), frame3(0, []byte("x"))), 1},
		"in its head":          {slices.Concat(frame3(0, []byte("deposit")), frame3(0, bytes.Repeat([]byte("x"), 70))), 71},
		"in grease":            {slices.Concat(frame3(0, []byte("deposit")), frame3(0x21, []byte("grease"))), 2},
		"before trailers":      {slices.Concat(frame3(0, []byte("deposit")), frame3(1, trailers)), len(trailers)},
		"in trailers":          {slices.Concat(frame3(0, []byte("deposit")), frame3(1, trailers)), 1},
		"without a byte of it": {frame3(0, []byte("deposit")), 7},
	} {
		for _, path := range []string{"/x", "/assets/x"} {
			for _, method := range []string{"POST", "DELETE"} {
				said := append(headed3(method, path), tt.said...)
				b := w.bare(t)
				s := b.ask(said[:len(said)-tt.cut])
				s.Close()
				text, err := io.ReadAll(s)
				w.until("ended", func() bool { return b.Context().Err() != nil || err == nil })
				var e *quic.ApplicationError
				if errors.As(context.Cause(b.Context()), &e); e == nil || !e.Remote || e.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeFrameError) {
					t.Errorf("%s %s, cut %s: %q, %v", method, path, name, text, context.Cause(b.Context()))
				}
				s = w.bare(t).ask(said)
				s.Close()
				if text, err := io.ReadAll(s); err != nil || !strings.Contains(string(text), "taken") {
					t.Errorf("%s %s, whole: %q, %v", method, path, text, err)
				}
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := len(taken); n != 7*2*2 {
		t.Errorf("%d requests were taken for whole: %q", n, taken)
	}
	w.until("counted", func() bool { return w.cuts(Cut(framing.Malformed)) == 7*2*2 })
}

// Trailers may follow a head at once, and what stands between frames may be more
// than it is for.
func TestHTTP3BodyHasWhatMayStandInIt(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	trailers := []byte{0, 0, 0x27, 0, 'x', '-', 't', 'a', 'i', 'l', 's', 1, 'y'}
	for name, tt := range map[string]struct {
		said []byte
		want string
	}{
		"trailers alone":       {slices.Concat(asking3("/x"), frame3(1, trailers)), "eu-west-1 GET " + domain + " /x "},
		"grease alone":         {slices.Concat(asking3("/x"), frame3(0x21, []byte("y"))), "eu-west-1 GET " + domain + " /x "},
		"empty frames":         {slices.Concat(headed3("POST", "/x"), frame3(0, nil), frame3(0, []byte("a")), frame3(0, nil), frame3(0x21, nil), frame3(0, []byte("b"))), "eu-west-1 POST " + domain + " /x ab"},
		"a length, and grease": {slices.Concat(headed3("POST", "/x", "content-length", "2"), frame3(0, []byte("ab")), frame3(0x21, []byte("y"))), "eu-west-1 POST " + domain + " /x ab"},
	} {
		s := w.bare(t).ask(tt.said)
		s.Close()
		if text, err := io.ReadAll(s); err != nil || !strings.HasSuffix(string(text), tt.want) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// What begins with another frame than a head ends the connection.
func TestHTTP3RequestBeginsWithItsHead(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for _, typ := range []uint64{0, 3, 5, 0xd} {
		b := w.bare(t)
		s := b.ask(append(frame3(typ, []byte("x")), asking3("/x")...))
		s.Close()
		text, err := io.ReadAll(s)
		w.until("ended", func() bool { return b.Context().Err() != nil || err == nil })
		var e *quic.ApplicationError
		if errors.As(context.Cause(b.Context()), &e); e == nil || e.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeFrameUnexpected) {
			t.Errorf("a frame of type %d first: %q, %v", typ, text, context.Cause(b.Context()))
		}
	}
	s := w.bare(t).ask(append(frame3(0x21, []byte("grease")), asking3("/x")...))
	s.Close()
	if text, err := io.ReadAll(s); err != nil || !strings.Contains(string(text), "eu-west-1 GET") {
		t.Errorf("after grease: %q, %v", text, err)
	}
}
