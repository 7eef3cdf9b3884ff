package edge

import (
	"runtime"
	"testing"
	"time"
)

func TestMemoryIsGivenBackWhenConnectionsRest(t *testing.T) {
	const mib = 1 << 20
	rest := Rest{Connections: 10_000, Live: 60 * mib, Held: 160 * mib, Made: mib}
	for _, tt := range []struct {
		name string
		with func(*Rest)
		want bool
	}{
		{"at rest", func(*Rest) {}, true},
		{"few connections", func(r *Rest) { r.Connections = 999 }, false},
		{"requests are answered", func(r *Rest) { r.Made = 6 * mib }, false},
		{"little is garbage", func(r *Rest) { r.Held = 75 * mib }, false},
		{"a collection has begun to live on more than is held", func(r *Rest) { r.Live = 200 * mib }, false},
		{"holes that cannot be given back", func(r *Rest) { r.Kept = 90 * mib }, false},
		{"a moment ago", func(r *Rest) { r.Since, r.Took = 59*time.Second, time.Millisecond }, false},
		{"a minute ago", func(r *Rest) { r.Since, r.Took = time.Minute, time.Millisecond }, true},
		{"it took long", func(r *Rest) { r.Since, r.Took = 5*time.Minute, 2*time.Second }, false},
		{"it took long, long ago", func(r *Rest) { r.Since, r.Took = 7*time.Minute, 2*time.Second }, true},
	} {
		r := rest
		tt.with(&r)
		if got, why := Tidies(r); got != tt.want || why == "" {
			t.Errorf("%s: %v, %s", tt.name, got, why)
		}
	}
}

// The runtime knows every name that is asked for, or the value would panic.
func TestHeapIsRead(t *testing.T) {
	runtime.GC()
	if h := readHeap(); h.live == 0 || h.held < h.live/2 || h.made < h.live {
		t.Errorf("%+v", h)
	}
}
