package cache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkMisses measures many at once, each of a path of its own, of 100 KB:
// what they share is the lock of the flights.
func BenchmarkMisses(b *testing.B) {
	c, err := New(Config{}, Deps{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Stop()
	body := strings.Repeat("x", 100_000)
	r := &rig{t: b, c: c, policy: Default()}
	r.does(func(http.Header) (*http.Response, error) {
		return response(200, body, "Cache-Control: max-age=60"), nil
	})
	var n atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			q := Request{Method: "GET", Host: "a.test", Path: fmt.Sprint("/", n.Add(1)), Header: http.Header{}, Policy: r.policy}
			resp, err := c.Do(b.Context(), q, r.fetch)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}
