package origin

import (
	"sync"
	"time"

	"meridian"
)

// A memory keeps the circuit of every region.
type memory struct {
	turned func(meridian.Region, Circuit) // called, without the lock, when a circuit changed its phase; may be nil

	mu       sync.Mutex // guards what follows
	circuits map[meridian.Region]Circuit
}

// change replaces a region's circuit by what f makes of it.
func (m *memory) change(r meridian.Region, f func(Circuit) Circuit) {
	m.mu.Lock()
	was := m.circuits[r]
	now := f(was)
	if m.circuits == nil {
		m.circuits = map[meridian.Region]Circuit{}
	}
	m.circuits[r] = now
	m.mu.Unlock()
	if was.Phase != now.Phase && m.turned != nil {
		m.turned(r, now)
	}
}

// fail notes a failure.
func (m *memory) fail(r meridian.Region, by Evidence, why string, now time.Time) {
	m.change(r, func(c Circuit) Circuit { return c.Failed(now, by, why) })
}

// silent notes that nothing is heard from a region.
func (m *memory) silent(r meridian.Region, why string, now time.Time) {
	m.change(r, func(c Circuit) Circuit { return c.Silent(now, why) })
}

// spoke notes that a region is heard again.
func (m *memory) spoke(r meridian.Region, now time.Time) {
	m.change(r, func(c Circuit) Circuit { return c.Spoke(now) })
}

// linked notes a new connection.
func (m *memory) linked(r meridian.Region, now time.Time) {
	m.change(r, func(c Circuit) Circuit { return c.Linked(now) })
}

// heal notes an answer.
func (m *memory) heal(r meridian.Region, now time.Time) {
	m.change(r, func(c Circuit) Circuit { return c.Answered(now) })
}

// ask returns what a region's circuit says to one request.
func (m *memory) ask(r meridian.Region, now time.Time) (s State, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.circuits[r]
	if !ok || c.Phase == Closed {
		return Ready, ""
	}
	c, may := c.Ask(now)
	m.circuits[r] = c
	return stateOf(c, may), c.Says(now)
}

// look returns what ask would, and counts no request.
func (m *memory) look(r meridian.Region, now time.Time) (State, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.circuits[r]
	_, may := c.Ask(now)
	return stateOf(c, may), c.Says(now)
}

func stateOf(c Circuit, may bool) State {
	switch {
	case may:
		return Ready
	case c.Phase == Slow, c.Phase == Doubted:
		return Warming
	}
	return Broken
}

// open returns how many circuits are open.
func (m *memory) open() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.circuits {
		if c.Phase == Open {
			n++
		}
	}
	return n
}

// went is told that a request is about to go to r.
func (m *memory) went(r meridian.Region, now time.Time) {
	m.mu.Lock()
	c, ok := m.circuits[r]
	m.mu.Unlock()
	if ok && c.Phase != Closed {
		m.change(r, func(c Circuit) Circuit { return c.Went(now) })
	}
}

// circuit returns a region's circuit as it is.
func (m *memory) circuit(r meridian.Region) Circuit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.circuits[r]
}
