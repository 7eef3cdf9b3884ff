package edge

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// A tidy gives memory back to the system when connections have come to rest:
// their handshakes and requests left garbage that nobody would collect for two
// minutes, and pages that the collector keeps for what does not come.
type tidy struct {
	crowd *crowd
	log   *slog.Logger
}

// A Rest is what there is to be tidied.
type Rest struct {
	Connections int           // that are open
	Live        uint64        // bytes of the heap that lived at the last collection
	Held        uint64        // bytes of memory that the process has for its heap
	Kept        uint64        // of them, those beyond Live that the last tidying could not give back
	Made        uint64        // bytes that were allocated since the last look
	Since, Took time.Duration // since the last tidying, and by it; 0, 0 if there was none
}

const (
	tidyEvery = 2 * time.Second // between looks
	tidyFrom  = 1000            // connections
	tidyWorth = 2 << 10         // bytes a connection that there must be to give back
	tidyRest  = 32              // one part of so many of the heap may be made anew while it is at rest
	tidyShare = 200             // one part of so many of the time may be spent
)

// Tidies decides whether memory is given back now, and why or why not.
func Tidies(r Rest) (do bool, why string) {
	waste := int64(r.Held) - int64(r.Live) - int64(r.Kept)
	switch {
	case r.Connections < tidyFrom:
		return false, "few connections"
	case r.Made > r.Held/tidyRest:
		return false, "at work"
	case waste < int64(r.Connections)*tidyWorth:
		return false, "little to give back"
	case r.Took > 0 && r.Since < max(time.Minute, r.Took*tidyShare):
		return false, "tidied lately"
	}
	return true, fmt.Sprintf("%d connections rest, and %d MiB are not theirs", r.Connections, waste>>20)
}

// Run looks now and then, until ctx is canceled.
func (t *tidy) Run(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var last time.Time
	var r Rest
	for made := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.Connections = t.crowd.count(); r.Connections < tidyFrom {
			continue
		}
		m := readHeap()
		r.Live, r.Held, r.Made, r.Since = m.live, m.held, m.made-made, time.Since(last)
		made = m.made
		do, why := Tidies(r)
		if !do {
			continue
		}
		begin := time.Now()
		debug.FreeOSMemory()
		last, r.Took = time.Now(), time.Since(begin)
		m = readHeap()
		r.Kept, made = m.held-min(m.held, m.live), m.made
		t.log.Info("memory was given back", "why", why, "took", r.Took)
	}
}

// A heap is what the runtime says of it, in bytes.
type heap struct{ live, held, made uint64 }

func readHeap() (h heap) {
	s := []runtimemetrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	runtimemetrics.Read(s)
	return heap{live: s[0].Value.Uint64(), made: s[1].Value.Uint64(), held: s[2].Value.Uint64() + s[3].Value.Uint64() + s[4].Value.Uint64()}
}
