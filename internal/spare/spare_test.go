package spare

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheHeapMayGrowByTheGreater(t *testing.T) {
	for _, tt := range []struct {
		spare, live uint64
		want        int
	}{{64 << 20, 0, 100}, {64 << 20, 16 << 20, 400}, {64 << 20, 64 << 20, 100}, {64 << 20, 1 << 30, 100}, {64 << 20, 1, 10_000}} {
		if got := percent(tt.spare, tt.live); got != tt.want {
			t.Errorf("%d live: %d percent, want %d", tt.live, got, tt.want)
		}
	}
	if differs(400, 410) || !differs(100, 200) || !differs(200, 100) {
		t.Error("a change that is worth a pause is more than a tenth")
	}
}

// The setting follows what lives, up and down. The control is the first look.
func TestTheSettingFollowsWhatLives(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(usual))
	Bytes(256 << 20)
	is := func() int { // as the collector has it
		p := debug.SetGCPercent(usual)
		debug.SetGCPercent(p)
		return p
	}
	until := func(ok func(int) bool) {
		for begin := time.Now(); !ok(is()); runtime.GC() { // a finalizer runs a moment later
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("%d percent", is())
			}
		}
	}
	until(func(p int) bool { return p > 1000 })
	held := make([]byte, 200<<20)
	until(func(p int) bool { return p < 200 })
	runtime.KeepAlive(held)
	until(func(p int) bool { return p > 1000 })
}
