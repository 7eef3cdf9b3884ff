package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A body over the limit reaches all who read it, and is not stored.
func TestLargeBodyPassesAndIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Object: 100 << 10})
		body := strings.Repeat("0123456789abcdef", 256<<10) // 4 MiB
		release := make(chan struct{})
		r.does(func(http.Header) (*http.Response, error) {
			<-release
			resp := response(200, body, "Cache-Control: max-age=60")
			resp.ContentLength = -1
			return resp, nil
		})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if got := r.do("GET /x"); got.body != body {
					t.Errorf("%d bytes", len(got.body))
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		synctest.Wait()
		before := r.count()
		r.do("GET /x")
		synctest.Wait()
		if r.count() != before+1 || r.c.carry(0) != 0 {
			t.Errorf("it was stored, or %d bytes are still counted", r.c.carry(0))
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRig(t, Config{Memory: 1 << 20})
	body := strings.Repeat("x", 10<<10)
	r.answering(200, body, "Cache-Control: max-age=60")
	for i := range 1000 {
		r.do(fmt.Sprintf("GET /%d", i))
	}
	r.c.store.objects.CleanUp()
	if n := r.c.store.objects.WeightedSize(); n > 1<<20 || n < 1<<18 {
		t.Errorf("%d bytes are stored, of at most %d", n, 1<<20)
	}
	r.c.Purge(Purge{Everything: true})
	r.c.store.objects.CleanUp()
	deadline := time.Now().Add(10 * time.Second)
	for { // deletions are told on another goroutine
		r.c.store.mu.Lock()
		n := r.c.store.index.Len()
		r.c.store.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d terms are left in the index", n)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestHitAllocatesLittle keeps the cost of a hit where it is.
func TestHitAllocatesLittle(t *testing.T) {
	r := newRig(t, Config{})
	r.answering(200, strings.Repeat("x", 1024), "Cache-Control: max-age=600", "Content-Length: 1024", "Content-Type: application/json")
	r.do("GET /x")
	q := Request{Method: "GET", Host: "a.test", Path: "/x", Query: "a=b", Header: headers("Accept: */*"), Policy: r.policy}
	got := testing.AllocsPerRun(100, func() { hit(t, r, q) })
	if got > 12 {
		t.Errorf("%v allocations, want at most 12", got)
	}
}

func hit(t testing.TB, r *rig, q Request) {
	resp, err := r.c.Do(context.Background(), q, r.fetch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.(io.WriterTo).WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// BenchmarkHit is what the cache itself adds to a hit.
func BenchmarkHit(b *testing.B) {
	r := newRig(b, Config{})
	r.answering(200, string(bytes.Repeat([]byte("x"), 1024)), "Cache-Control: max-age=600", "Content-Length: 1024", "Vary: Accept-Encoding")
	q := Request{Method: "GET", Host: "a.test", Path: "/x", Header: headers("Accept: */*"), Policy: r.policy}
	hit(b, r, q)
	b.ReportAllocs()
	for b.Loop() {
		hit(b, r, q)
	}
}

// BenchmarkPurgeByTag is a purge of ten of 100,000.
func BenchmarkPurgeByTag(b *testing.B) {
	r := newRig(b, Config{Memory: 1 << 30})
	for i := range 100_000 {
		r.answering(200, "x", "Cache-Control: max-age=600", fmt.Sprintf("Cache-Tag: t%d", i/10))
		r.do(fmt.Sprintf("GET /%d", i))
	}
	b.ResetTimer()
	for i := range b.N {
		r.c.Purge(Purge{Tag: fmt.Sprintf("t%d", i%10_000), Soft: true})
	}
}
