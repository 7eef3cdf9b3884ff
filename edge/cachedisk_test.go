package edge

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"meridian/edge/cache"
)

// TestALargeBodyComesFromDiskOverTheWire: what memory does not take is stored as
// it passes, and goes out from disk, whole, in parts and by condition.
func TestALargeBodyComesFromDiskOverTheWire(t *testing.T) {
	body, asked := strings.Repeat("0123456789abcdef", 200_000), new(atomic.Int64)
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Length", "3200000")
		w.Write([]byte(body))
	}}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) {
		c.Cache = cache.Config{Memory: 1 << 20, Disk: cache.Disk{Dir: t.TempDir(), Bytes: 64 << 20, Node: "n"}}
	})
	w.until("the folder is read", w.Edge.cache.DiskIdle)
	get := func(status string) bool {
		got := w.do("GET", "/large", "")
		if got.status != 200 || got.body != body {
			t.Errorf("%d, %d bytes", got.status, len(got.body))
		}
		w.until("it is on disk, or given up", w.Edge.cache.DiskIdle)
		return strings.Contains(got.header.Get("Cache-Status"), status)
	}
	if !get("fwd=uri-miss; fwd-status=200; stored") {
		t.Error("the first is not stored")
	}
	w.until("it comes from disk", func() bool { return get("hit; ttl=") }) // a disk that is far behind gives a body up
	once := asked.Load()
	if got := w.do("GET", "/large", "", "Range", "bytes=65534-65537"); got.status != 206 || got.body != body[65534:65538] {
		t.Errorf("%d %q", got.status, got.body)
	}
	if got := w.do("GET", "/large", "", "Range", "bytes=0-1,-2"); got.status != 206 || !strings.Contains(got.body, "01") || !strings.Contains(got.header.Get("Content-Type"), "byteranges") {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
	if got := w.do("GET", "/large", "", "If-None-Match", `"1"`); got.status != 304 || asked.Load() != once {
		t.Errorf("%d, asked %d times", got.status, asked.Load())
	}
	w.Edge.Purge(cache.Purge{Path: "/large"})
	if w.do("GET", "/large", ""); asked.Load() != once+1 {
		t.Error("a purge left it")
	}
}
