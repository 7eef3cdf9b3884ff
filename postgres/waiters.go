package postgres

import (
	"container/heap"
	"context"
	"time"

	"meridian"
)

// A waiter waits for a position.
type waiter struct {
	floor meridian.Token
	done  chan struct{}
	index int // in the heap; -1 once it is out
}

// waiters is a heap, the lowest position first.
type waiters []*waiter

func (h waiters) Len() int { return len(h) }

func (h waiters) Less(i, j int) bool {
	a, b := h[i].floor, h[j].floor
	return a.Timeline < b.Timeline || a.Timeline == b.Timeline && a.LSN < b.LSN
}

func (h waiters) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }

func (h *waiters) Push(x any) { w := x.(*waiter); w.index = len(*h); *h = append(*h, w) }

func (h *waiters) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h, w.index = old[:len(old)-1], -1
	return w
}

// release lets those go whose position is reached.
func (h *waiters) release(here meridian.Token) {
	for len(*h) > 0 && reached(here, (*h)[0].floor) {
		close(heap.Pop(h).(*waiter).done)
	}
}

// wait waits until floor is shown, at most for d, and reports whether it is.
func (w *watch) wait(ctx context.Context, floor meridian.Token, d time.Duration) bool {
	return w.waitFor(ctx, &w.waiting, func() meridian.Token { return w.last.shown }, floor, d)
}

// rely is wait for what is confirmed, whether it shows yet or not.
func (w *watch) rely(ctx context.Context, floor meridian.Token, d time.Duration) bool {
	return w.waitFor(ctx, &w.relying, func() meridian.Token { return w.last.served }, floor, d)
}

func (w *watch) waitFor(ctx context.Context, among *waiters, here func() meridian.Token, floor meridian.Token, d time.Duration) bool {
	w.mu.Lock()
	if reached(here(), floor) {
		w.mu.Unlock()
		return true
	}
	me := &waiter{floor: floor, done: make(chan struct{})}
	heap.Push(among, me)
	w.mu.Unlock()
	w.poke()
	w.p.loops.Slow()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-me.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if me.index >= 0 {
		heap.Remove(among, me.index)
	}
	return reached(here(), floor)
}
