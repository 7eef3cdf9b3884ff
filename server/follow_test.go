package server

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A page is what is watched.
type page struct {
	mu      sync.Mutex // guards what follows
	changed chan struct{}
}

func (p *page) Watch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

func (p *page) turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func TestFollowSeesEachChangeAndLooksNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var p page
		var did atomic.Int64
		go follow(ctx, &p, time.Minute, func() {
			if did.Add(1) == 1 {
				p.turn() // while it looks
			}
		})
		for _, x := range []struct {
			what string
			do   func()
			want int64
		}{
			{"at once, and what changed meanwhile", func() {}, 2},
			{"a change", p.turn, 3},
			{"time", func() { time.Sleep(time.Minute) }, 4},
			{"the end", func() { cancel(); synctest.Wait(); p.turn() }, 4},
		} {
			x.do()
			if synctest.Wait(); did.Load() != x.want {
				t.Errorf("%s: looked %d times, want %d", x.what, did.Load(), x.want)
			}
		}
	})
}

func TestAwaitEndsWithTheChangeOrItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var p page
		var there atomic.Bool
		time.AfterFunc(time.Millisecond, func() { there.Store(true); p.turn() })
		if !await(ctx, &p, there.Load) || time.Until(must(ctx.Deadline())) < 900*time.Millisecond {
			t.Error("the change was not seen when it came")
		}
		if await(ctx, &p, func() bool { return false }) {
			t.Error("what never holds was reported")
		}
	})
}

func must[T any](v T, _ bool) T { return v }
