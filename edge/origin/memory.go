package origin

import (
	"sync"
	"time"

	"meridian"
)

// How long a region is passed over after its first failure, and at most. Each
// failure that follows at once doubles it.
const (
	firstAvoid = time.Second
	longAvoid  = 16 * time.Second
)

// A memory remembers which regions failed. After a while it lets one request
// through as a probe; what becomes of that one decides for the others.
type memory struct {
	mu    sync.Mutex // guards what follows
	marks map[meridian.Region]mark
}

// A mark is one region's latest failures.
type mark struct {
	why   string
	link  bool // a connection broke or could not be made
	fails int
	until time.Time
}

// fail notes a failure. link says that a new connection would disprove it.
func (m *memory) fail(r meridian.Region, why string, link bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks == nil {
		m.marks = map[meridian.Region]mark{}
	}
	k := m.marks[r]
	avoid := min(firstAvoid<<min(k.fails, 8), longAvoid)
	m.marks[r] = mark{why, link, k.fails + 1, now.Add(avoid)}
}

// heal forgets a region's failures, after a request that it answered.
func (m *memory) heal(r meridian.Region) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.marks, r)
}

// linked forgets the failures that a new connection disproves.
func (m *memory) linked(r meridian.Region) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks[r].link {
		delete(m.marks, r)
	}
}

// broken reports whether a region is passed over now, and why.
func (m *memory) broken(r meridian.Region, now time.Time) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.marks[r]
	return k.why, ok && now.Before(k.until)
}

// probe is told that a request is about to go to r. If r was being passed over
// until just now, the request is a probe, and others keep away for a while.
func (m *memory) probe(r meridian.Region, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.marks[r]; ok && !now.Before(k.until) {
		k.until = now.Add(firstAvoid)
		m.marks[r] = k
	}
}
