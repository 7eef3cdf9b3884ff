package cache

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLeaderThatFailsIsFollowedByOne(t *testing.T) {
	in(t, func(r *rig) {
		var n atomic.Int64
		release := make(chan struct{})
		r.does(func(http.Header) (*http.Response, error) {
			<-release
			if n.Add(1) == 1 {
				return nil, errors.New("broke")
			}
			return response(200, "x", "Cache-Control: max-age=60"), nil
		})
		var failed, fine atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := r.try(r.t.Context(), "GET /x"); err != nil {
					failed.Add(1)
				} else {
					fine.Add(1)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if failed.Load() != 1 || fine.Load() != 19 || r.count() != 2 {
			t.Errorf("%d failed, %d were answered, asked %d times", failed.Load(), fine.Load(), r.count())
		}
	})
}

func TestOriginThatFailsIsNotAskedByEachInTurn(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(http.Header) (*http.Response, error) { time.Sleep(time.Second); return nil, errors.New("broke") })
		from := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { r.try(r.t.Context(), "GET /x") })
		}
		wg.Wait()
		if took := time.Since(from); took > 2*time.Second || r.count() > 2 {
			t.Errorf("%v, asked %d times", took, r.count())
		}
	})
}

// herd sends n requests at once, each with the value of X-Kind that kind says, and
// returns how often the origin was asked and how many requests it had at once.
func herd(r *rig, n int, kind func(i int) string, answer func(h http.Header) *http.Response) (asked, most int) {
	before := r.count()
	var flying, peak atomic.Int64
	r.does(func(h http.Header) (*http.Response, error) {
		k := flying.Add(1)
		defer flying.Add(-1)
		for p := peak.Load(); k > p && !peak.CompareAndSwap(p, k); p = peak.Load() {
		}
		time.Sleep(time.Second)
		return answer(h), nil
	})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got, err := r.try(r.t.Context(), "GET /x", "X-Kind: "+kind(i))
			if err != nil || got.body != kind(i) {
				r.t.Errorf("who asked for %s got %q, %v", kind(i), got.body, err)
			}
		})
	}
	wg.Wait()
	return r.count() - before, int(peak.Load())
}

// Of many who miss at once those of another variant than the first one's wait for
// one of theirs, whether the variants show only now, or were known and are stale.
// Where each has a variant of its own nobody waits for more than the first.
func TestEachVariantIsAskedForOnce(t *testing.T) {
	vary := func(h http.Header) *http.Response {
		return response(200, h.Get("X-Kind"), "Vary: X-Kind", "Cache-Control: max-age=60, must-revalidate")
	}
	in(t, func(r *rig) {
		three := func(i int) string { return []string{"a", "b", "c"}[i%3] }
		for _, when := range []string{"at first", "once they are stale", "once they are purged"} {
			from := time.Now()
			if asked, _ := herd(r, 300, three, vary); asked != 3 {
				t.Errorf("%s: asked %d times for three variants", when, asked)
			}
			if took := time.Since(from); took > 2*time.Second {
				t.Errorf("%s: took %v, want two answers one after the other at most", when, took)
			}
			time.Sleep(2 * time.Minute)
			if when == "once they are stale" {
				r.c.Purge(Purge{Everything: true})
			}
		}
	})
	in(t, func(r *rig) {
		from := time.Now()
		own := func(i int) string { return string(rune('A' + i)) }
		asked, most := herd(r, 200, own, vary)
		if took := time.Since(from); asked != 200 || most != 199 || took > 2*time.Second {
			t.Errorf("200 variants: asked %d times, %d at once, took %v; want all but the first at once", asked, most, took)
		}
	})
}
