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
