package origin

import (
	"sync"
	"time"
)

// A pulse says whether a region is quieter than its traffic makes likely, long
// before its circuit may open. Half a second of silence is a proof; a twentieth
// after hours with a byte each millisecond is a hint, good enough to send what
// comes next elsewhere, and to forget with the next byte. Only the time in which
// a crowd of requests waits counts: without one a region has nothing to say.
type pulse struct {
	mu      sync.Mutex // guards what follows
	heard   time.Time  // or when the crowd began, if that is later
	crowded bool
	longest [2]time.Duration // gap between bytes, in this span and the one before
	since   time.Time        // when this span began
}

const (
	// pulseSpan is how long the longest gap is remembered at least.
	pulseSpan = 5 * time.Second
	// pulseFloor is the shortest silence that can be a hint.
	pulseFloor = 40 * time.Millisecond
)

// beat notes that something was heard.
func (p *pulse) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.since) >= pulseSpan {
		p.longest, p.since = [2]time.Duration{0, p.longest[0]}, now
	}
	if p.crowded {
		p.longest[0] = max(p.longest[0], now.Sub(p.heard))
	}
	p.heard = now
}

// wait notes whether a crowd of requests waits.
func (p *pulse) wait(crowded bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if crowded && !p.crowded {
		p.heard = now
	}
	p.crowded = crowded
}

// quiet returns for how long nothing was heard, and whether that is more than
// twice the longest gap of late; to who is wary, more than that gap.
func (p *pulse) quiet(now time.Time, wary bool) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.crowded || p.longest[0]+p.longest[1] == 0 {
		return 0, false
	}
	silence, most := now.Sub(p.heard), max(pulseFloor, 2*p.longest[0], 2*p.longest[1])
	if wary {
		most /= 2
	}
	return silence, silence >= most
}
