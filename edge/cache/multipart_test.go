package cache

import (
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"
)

// TestSeveralRangesAreParts reads what several ranges get with the standard
// library's reader, in memory and on disk.
func TestSeveralRangesAreParts(t *testing.T) {
	p := newPlant(t, Config{})
	large := strings.Repeat("0123456789", 300_000)
	p.answering(200, large, "Cache-Control: max-age=600", "Content-Type: text/x")
	p.do("GET /large")
	p.settle()
	p.answering(200, "0123456789", "Cache-Control: max-age=600", "Content-Type: text/x", `Etag: "1"`)
	p.do("GET /small")
	for _, x := range []struct {
		path, ranges string
		want         string // the range and the text of each part, or status and body
	}{
		{"/small", "bytes=0-1,4-5", "bytes 0-1/10 01, bytes 4-5/10 45"},
		{"/small", "bytes=8-, 0-0, -1", "bytes 0-0/10 0, bytes 8-9/10 89"}, // the third lies in the first
		{"/small", "bytes=4-5,0-1,99-", "bytes 4-5/10 45, bytes 0-1/10 01"},
		{"/small", "bytes=0-1,2-3", "206 0123"},
		{"/small", "bytes=0-1,99-", "206 01"},
		{"/small", "bytes=98-,99-", "416 "},
		{"/small", "bytes=0-5,1-6,2-7,3-8", "200 0123456789"}, // more than two that overlap
		{"/small", "bytes=0-1,x", "200 0123456789"},
		{"/large", "bytes=65535-65536,2999998-", "bytes 65535-65536/3000000 56, bytes 2999998-2999999/3000000 89"},
	} {
		got := p.do("GET "+x.path, "Range: "+x.ranges)
		is := strconv.Itoa(got.Status) + " " + got.body
		if kind, params, _ := mime.ParseMediaType(got.Header.Get("Content-Type")); kind == "multipart/byteranges" {
			is = partsOf(t, got.body, params["boundary"])
			if got.Header.Get("Content-Length") != strconv.Itoa(len(got.body)) || got.ContentLength != int64(len(got.body)) || got.Header.Get("Content-Range") != "" || got.Status != 206 {
				t.Errorf("%s: %d %v", x.ranges, got.Status, got.Header)
			}
		}
		if is != x.want || got.Outcome != Hit {
			t.Errorf("%s %s: %q %s, want %q", x.path, x.ranges, is, got.CacheStatus, x.want)
		}
	}
	if got := p.do("GET /small", "Range: bytes=0-0,5-5", `If-Range: "2"`); got.Status != 200 {
		t.Errorf("an If-Range that does not hold: %d", got.Status)
	}
}

func partsOf(t *testing.T, body, boundary string) string {
	t.Helper()
	var out []string
	for r := multipart.NewReader(strings.NewReader(body), boundary); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return strings.Join(out, ", ")
		}
		if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		text, _ := io.ReadAll(part)
		if part.Header.Get("Content-Type") != "text/x" {
			t.Errorf("%v", part.Header)
		}
		out = append(out, part.Header.Get("Content-Range")+" "+string(text))
	}
}
