package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
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
		var joinable atomic.Int64
		asked, most := herd(r, 200, own, func(h http.Header) *http.Response {
			if r.count() > 1 {
				joinable.Store(max(joinable.Load(), int64(r.c.Waiting())))
			}
			return vary(h)
		})
		if n := joinable.Load(); n > maxFlights {
			t.Errorf("%d flights are looked at by each that comes, want at most %d", n, maxFlights)
		}
		if took := time.Since(from); asked != 200 || most != 199 || took > 2*time.Second {
			t.Errorf("200 variants: asked %d times, %d at once, took %v; want all but the first at once", asked, most, took)
		}
	})
}

// streaming makes the origin answer with bodies of unknown length, as they are
// written to what comes of the channel that it returns.
func streaming(r *rig) <-chan *io.PipeWriter {
	to := make(chan *io.PipeWriter, 10)
	r.does(func(http.Header) (*http.Response, error) {
		from, w := io.Pipe()
		to <- w
		resp := response(200, "", "Cache-Control: max-age=3600")
		resp.ContentLength, resp.Body = -1, from
		return resp, nil
	})
	return to
}

// Whose leader goes away is sent the whole body, also where none of it may be kept.
func TestWhoWaitedHasTheBodyThoughTheLeaderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Flying: 1})
		body, release := strings.Repeat("x", 3<<20), make(chan struct{})
		r.does(func(http.Header) (*http.Response, error) {
			<-release
			resp := response(200, body, "Cache-Control: max-age=60")
			resp.ContentLength = -1
			return resp, nil
		})
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.try(ctx, "GET /x") })
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				if got, err := r.try(t.Context(), "GET /x"); err != nil || got.body != body {
					t.Errorf("%d bytes of %d, %v", len(got.body), len(body), err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		wg.Wait()
		if r.count() != 1 {
			t.Errorf("asked %d times", r.count())
		}
	})
}

// A body that is too large to be kept takes no more room than is kept of it, so that
// others are stored meanwhile; and who comes while it passes waits for nobody.
func TestALargeBodyThatPassesIsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Object: 100 << 10, Flying: 2 << 20})
		to := streaming(r)
		var wg sync.WaitGroup
		wg.Go(func() { r.do("GET /large") })
		large := <-to
		for range 1024 { // 4 MiB
			large.Write(make([]byte, 4<<10))
		}
		for range 2 {
			wg.Go(func() { r.do("GET /large") })
		}
		synctest.Wait()
		if r.count() != 3 {
			t.Errorf("asked %d times, want once for each", r.count())
		}
		small := strings.Repeat("s", 90<<10)
		r.answering(200, small, "Cache-Control: max-age=60")
		r.do("GET /small")
		if got := r.do("GET /small"); got.Outcome != Hit || got.body != small {
			t.Errorf("%d bytes, %s (%s); want what is stored", len(got.body), got.Outcome, got.CacheStatus)
		}
		large.Close()
		for range 2 {
			(<-to).Close()
		}
		wg.Wait()
		synctest.Wait()
		if n := r.c.carry(0); n != 0 {
			t.Errorf("%d bytes are still counted", n)
		}
	})
}

// Who comes while a body is on its way of which nothing came for long asks for himself,
// and is stored for all. A body that moves is waited for.
func TestNobodyNewWaitsForABodyThatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{})
		to := streaming(r)
		var wg sync.WaitGroup
		wg.Go(func() { r.try(t.Context(), "GET /x") })
		stands := <-to
		for range 20 {
			stands.Write([]byte("a"))
			time.Sleep(stalled - time.Second)
		}
		wg.Go(func() { r.try(t.Context(), "GET /x") })
		synctest.Wait()
		if r.count() != 1 {
			t.Errorf("asked %d times for a body that moves", r.count())
		}
		time.Sleep(time.Second)
		r.answering(200, "all", "Cache-Control: max-age=60")
		r.want(r.do("GET /x"), 200, "all", Miss, 2)
		r.want(r.do("GET /x"), 200, "all", Hit, 2)
		stands.CloseWithError(io.ErrUnexpectedEOF)
		wg.Wait()
	})
}
