package headroom

import (
	"runtime"
	"sync"
	"testing"
	"unsafe"
)

// deep needs as much stack as a request does, in many frames.
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

// The stack of one who has asked for room does not grow: nothing of what lies on it
// moves, while it grows under one who has not.
func TestAStackWithRoomStaysWhereItIs(t *testing.T) {
	moved := func(room bool) (n int) {
		const tries = 100
		for range tries {
			var wg sync.WaitGroup
			wg.Go(func() {
				if room {
					Make()
				}
				n += moves(func() { deep(24) })
			})
			wg.Wait()
		}
		return n
	}
	runtime.GC() // which may change how large a stack begins
	if n := moved(true); n > 0 {
		t.Errorf("of 100 stacks with room %d moved", n)
	}
	if n := moved(false); n == 0 {
		t.Error("no stack without room moved: nothing is shown")
	}
}

// moves reports, as 0 or 1, whether the stack moves while f runs.
//
//go:noinline
func moves(f func()) int {
	var here int
	before := address(&here)
	f()
	if address(&here) != before {
		return 1
	}
	return 0
}

// address returns where a variable lies, and does not make it lie in the heap.
//
//go:noinline
func address(p *int) uintptr { return uintptr(unsafe.Pointer(p)) }

// BenchmarkDeep is what a call of some depth costs a goroutine of its own.
func BenchmarkDeep(b *testing.B) {
	for _, room := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "with"}[room], func(b *testing.B) {
			done := make(chan byte)
			for b.Loop() {
				go func() {
					if room {
						Make()
					}
					done <- deep(24)
				}()
				<-done
			}
		})
	}
}
