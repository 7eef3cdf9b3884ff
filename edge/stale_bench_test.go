package edge

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"meridian/internal/delay"
)

// BenchmarkStaleIfError is what a stored answer costs in real time once every
// region is silent and its circuit open: 2,000 requests a second come at an even
// rate, answered or not, and each is timed from when it was due, so that waiting
// for a processor counts. It is the edge's own time, without the client's TLS.
//
//	go test ./edge -run '^$' -bench StaleIfError -benchtime 3x
func BenchmarkStaleIfError(b *testing.B) {
	const rate, each = 2000, 2 * time.Second
	gs := farRegions()
	for _, g := range gs {
		g.serve = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=1, stale-if-error=3600")
			io.WriteString(w, "stored")
		}
	}
	l := newLab(b, gs)
	defer l.end()
	l.one("GET", "/stored", time.Now())
	for _, g := range gs {
		l.lines[g.name].Set(delay.Fault{Cut: true})
	}
	time.Sleep(1500 * time.Millisecond) // stale by now, and every circuit open
	var took []time.Duration
	for b.Loop() {
		all := make([]time.Duration, rate*int(each/time.Second))
		var wg sync.WaitGroup
		start := time.Now()
		for i := range all {
			due := start.Add(time.Duration(i) * time.Second / rate)
			time.Sleep(time.Until(due))
			wg.Go(func() {
				if s := l.one("GET", "/stored", start); s.status != 200 || s.from != "stored" {
					b.Errorf("answered %d %q, want what is stored", s.status, s.from)
				}
				all[i] = time.Since(due)
			})
		}
		wg.Wait()
		took = append(took, all...)
	}
	slices.Sort(took)
	at := func(share int) float64 { return float64(took[len(took)*share/1000]) / float64(time.Microsecond) }
	b.ReportMetric(at(500), "p50-µs")
	b.ReportMetric(at(990), "p99-µs")
	b.ReportMetric(at(999), "p99.9-µs")
}
