// Package spare lets a process make a little garbage before the collector runs.
//
// Go's collector runs when the heap has grown by GOGC percent of what lives: of a
// server whose live heap is 20 MB, and that makes 10 KB for a request, each 2,000
// requests. A process that holds little pays for that with a fifth of its time;
// one that holds much pays little, and should not hold twice as much.
package spare

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// usual is the collector's own setting.
const usual = 100

// Bytes has the collector run only after so much has been made since it last
// ran, or as much as lives if that is more, from the next run on. It does nothing
// where the environment sets GOGC.
func Bytes(n uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	(&keeper{bytes: n, percent: usual}).adjust(nil)
}

// A keeper sets the percentage after each run of the collector.
type keeper struct {
	bytes   uint64
	percent int
}

// adjust is called with what the last run found to be garbage.
func (k *keeper) adjust(*sentinel) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if p := percent(k.bytes, live[0].Value.Uint64()); differs(p, k.percent) {
		debug.SetGCPercent(p)
		k.percent = p
	}
	s := &sentinel{}
	runtime.SetFinalizer(s, k.adjust) // the next run finds it
}

// A sentinel is garbage from its making.
type sentinel struct{ _ [16]byte }

// percent returns by how much of what lives the heap may grow.
func percent(spare, live uint64) int {
	if live == 0 {
		return usual // the collector has not run yet
	}
	return int(max(usual, min(spare*100/live, 10_000)))
}

// differs reports whether a change is worth the pause that it costs.
func differs(a, b int) bool { return 10*max(a, b) > 11*min(a, b) }
