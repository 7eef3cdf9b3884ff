//go:build !race

// Under the race detector pools forget at random, and what is made there says
// nothing of a hit.

package edge

import (
	"runtime"
	"testing"
)

// A hit makes no more than this, all of net/http and TLS with it.
func TestAHitMakesLittle(t *testing.T) {
	a := askedBefore(t)
	var before, after runtime.MemStats
	const n = 500
	runtime.ReadMemStats(&before)
	for range n {
		a.ask()
	}
	runtime.ReadMemStats(&after)
	bytes, objects := (after.TotalAlloc-before.TotalAlloc)/n, (after.Mallocs-before.Mallocs)/n
	t.Logf("%d bytes in %d objects", bytes, objects)
	if bytes > 11<<10 || objects > 80 {
		t.Errorf("a hit makes %d bytes in %d objects, want at most 11 KiB in 80", bytes, objects)
	}
}
