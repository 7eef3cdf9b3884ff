package stricthttp

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"unsafe"

	"meridian/internal/framing"
)

// address returns where a variable lies, and does not make it lie in the heap.
//
//go:noinline
func address(p *int) uintptr { return uintptr(unsafe.Pointer(p)) }

// deep needs some 4 KiB of stack.
//
//go:noinline
func deep(n int) (sum byte) {
	var frame [128]byte
	frame[n] = byte(n)
	if n > 0 {
		sum = deep(n - 1)
	}
	return sum + frame[n]
}

// TestAHandlerHasRoom: over HTTP/2, where each request has a goroutine of its own,
// its stack is not copied under a handler that calls others.
func TestAHandlerHasRoom(t *testing.T) {
	moved := 0
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		var here int
		before := address(&here)
		if deep(24); address(&here) != before {
			moved++
		}
	})
	one := &oneClient{t.Context(), framing.NewH2(nil, framing.Config{}), h}
	for range 20 {
		var wg sync.WaitGroup
		wg.Go(func() { one.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
		wg.Wait()
	}
	if moved > 0 {
		t.Errorf("of 20 stacks %d moved", moved)
	}
}
