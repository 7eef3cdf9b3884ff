package compress

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		accept []string
		want   Coding
		why    string
	}{
		{nil, "", "the viewer does not say what it accepts"},
		{[]string{""}, "", "the viewer accepts none of ours"},
		{[]string{"gzip, br"}, Brotli, "the viewer accepts br"},
		{[]string{"gzip", "br;q=0.9"}, Gzip, "the viewer accepts gzip"},
		{[]string{"GZIP"}, Gzip, "the viewer accepts gzip"},
		{[]string{"x-gzip"}, Gzip, "the viewer accepts gzip"},
		{[]string{"*"}, Brotli, "the viewer accepts br"},
		{[]string{"*;q=0.1, zstd;q=0.2"}, Zstd, "the viewer accepts zstd"},
		{[]string{"*;q=0"}, "", "the viewer accepts none of ours"},
		{[]string{"br;q=0, zstd; q=0.000 , gzip ; Q = 0.001"}, Gzip, "the viewer accepts gzip"},
		{[]string{"identity, gzip;q=0.5"}, "", "the viewer wants it plain"},
		{[]string{"identity;q=0.5, gzip;q=0.5"}, Gzip, "the viewer accepts gzip"},
		{[]string{"br;q=2, gzip;q=-1, zstd;q=x"}, "", "the viewer accepts none of ours"},
		{[]string{"br;q=NaN"}, "", "the viewer accepts none of ours"},
	} {
		if got, why := Choose(tt.accept, Kept()); got != tt.want || why != tt.why {
			t.Errorf("%q: %q, %s; want %q, %s", tt.accept, got, why, tt.want, tt.why)
		}
	}
}

func TestWorth(t *testing.T) {
	h := func(pairs ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for _, tt := range []struct {
		status int
		header http.Header
		size   int64
		why    string
		ok     bool
	}{
		{200, h(), 1000, "its type", true},
		{404, h(), -1, "its type", true},
		{200, h(), 999, "it is small", false},
		{200, h("Content-Type", "image/svg+xml"), 5000, "its type", true},
		{200, h("Content-Type", "Application/Problem+JSON ;;"), 5000, "its type", true},
		{200, h("Content-Type", "application/grpc-web+proto"), 5000, "its type", false},
		{200, h("Content-Type", "application/grpc"), -1, "its type", false},
		{200, h("Content-Type", "text/event-stream; charset=utf-8"), -1, "its type", false},
		{200, h("Content-Type", ""), 5000, "its type", false},
		{206, h(), 5000, "it is a part", false},
		{416, h("Content-Range", "bytes */5"), 5000, "it is a part", false},
		{204, h(), -1, "it has no body", false},
		{304, h(), -1, "it has no body", false},
		{200, h("Content-Encoding", "identity"), 5000, "it is encoded already", false},
		{200, h("Cache-Control", "max-age=5, No-Transform"), 5000, "it says no-transform", false},
		{200, h("Repr-Digest", "sha-256=:x:"), 5000, "it has a digest of its bytes", false},
	} {
		if ok, why := Worth(tt.status, tt.header, tt.size); ok != tt.ok || why != tt.why {
			t.Errorf("%d %v %d: %v, %s; want %v, %s", tt.status, tt.header, tt.size, ok, why, tt.ok, tt.why)
		}
	}
}

func TestAStoredBodyIsEncodedOnceForMany(t *testing.T) {
	c := New(Config{})
	plain := bytes.Repeat([]byte(`{"a": 1}, `), 1000)
	var wg sync.WaitGroup
	var mu sync.Mutex
	times := 0
	for range 50 {
		wg.Go(func() {
			b, made, err := c.Whole(t.Context(), "body", Gzip, bytes.NewReader(plain), int64(len(plain)))
			z, zerr := gzip.NewReader(bytes.NewReader(b))
			if err != nil || zerr != nil {
				t.Error(err, zerr)
				return
			}
			if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, plain) {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			mu.Lock()
			defer mu.Unlock()
			if made {
				times++
			}
		})
	}
	wg.Wait()
	if times != 1 {
		t.Errorf("encoded %d times", times)
	}
	if _, made, _ := c.Whole(t.Context(), "another", Gzip, bytes.NewReader(plain), int64(len(plain))); !made {
		t.Error("the bytes of another body were taken for its own")
	}
	from := bytes.NewReader(plain)
	if n := testing.AllocsPerRun(100, func() { c.Whole(t.Context(), "body", Gzip, from, int64(len(plain))) }); n > 3 {
		t.Errorf("%v allocations for a body that is kept", n)
	}
}

func TestWhatPassesIsBounded(t *testing.T) {
	c := New(Config{Flying: 2})
	a, b := c.Writer(Gzip, io.Discard), c.Writer(Brotli, io.Discard)
	if c.Writer(Zstd, io.Discard) != nil {
		t.Error("a third")
	}
	a.Close()
	b.Drop()
	if c.Writer(Zstd, io.Discard) == nil || c.Flying() != 1 {
		t.Error("none, though two have ended")
	}
}

// What a viewer says it accepts chooses among what we have, and nothing else.
func FuzzChoose(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5", "*;q=0,identity", "br;q=1e-400", ";q=,,", "zstd;q=0x1p-2", "gzip;q=+Inf"} {
		f.Add(s, `W/"a", "b"`)
	}
	f.Fuzz(func(t *testing.T, accept, tags string) {
		c, why := Choose([]string{accept}, Kept())
		if why == "" || c != "" && c != Brotli && c != Zstd && c != Gzip {
			t.Fatalf("%q: %q, %q", accept, c, why)
		}
		if c != "" && !strings.Contains(strings.ToLower(accept), string(c)) && !strings.Contains(accept, "*") {
			t.Fatalf("%q: %q was not named", accept, c)
		}
		if out := Strengthened([]string{tags}); strings.Count(out[0], `"`) != strings.Count(tags, `"`) {
			t.Fatalf("%q became %q", tags, out[0])
		}
		if k := Known(`"a"`, []string{tags}); k != `"a"` && k != `W/"a"` {
			t.Fatalf("%q: %q", tags, k)
		}
	})
}

func BenchmarkPassing(b *testing.B) {
	c := New(Config{})
	plain := bytes.Repeat([]byte(`{"slug": "how-to-train-your-dragon", "favoritesCount": 17}, `), 340)
	for _, coding := range Passing() {
		b.Run(string(coding), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				w := c.Writer(coding, io.Discard)
				w.Write(plain)
				w.Close()
			}
		})
	}
	b.Run("kept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Whole(b.Context(), "body", Brotli, bytes.NewReader(plain), int64(len(plain)))
		}
	})
}

// FuzzTags: a tag that was weakened on its way out is the origin's again on its way
// in, whatever stands in it, and a 304 has the form that was asked with.
func FuzzTags(f *testing.F) {
	f.Add("a", "b")
	f.Add("a,b", "W/")
	f.Add("a,W/", ",")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, c := range []byte(a + b) {
			if c <= ' ' || c == '"' || c == 0x7f {
				return // no tag
			}
		}
		a, b = `"`+a+`"`, `"`+b+`"`
		list := Weakened(a) + ", " + Weakened(b)
		if got := Strengthened([]string{list}); got[0] != a+", "+b {
			t.Errorf("%s: %s", list, got)
		}
		if got := Known(b, []string{list}); got != Weakened(b) {
			t.Errorf("%s: a 304 has %s", list, got)
		}
		if got := Known(b, []string{a + ", " + b}); got != b {
			t.Errorf("%s, %s: a 304 has %s", a, b, got)
		}
	})
}
