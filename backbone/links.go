package backbone

import (
	"sync"
	"time"

	"meridian"
	"meridian/internal/delay"
)

// A Fault is what is wrong between two places: Cut stalls all bytes in
// silence, Mute and Deaf those of one direction, Extra is added to the round
// trip.
type Fault = delay.Fault

// Links are the simulated paths between places. One Links may serve several
// backbones. Its methods may be called by many goroutines at once.
type Links struct {
	place func(node string) meridian.Region
	base  func(a, b meridian.Region) (p50, p90 time.Duration)
	clock delay.Clock

	mu     sync.Mutex // guards what follows
	lines  map[[2]meridian.Region]*delay.Line
	faults map[[2]meridian.Region]Fault
}

// NewLinks returns links without faults, on which a round trip from a to b
// takes what base says. Place says where a node stands.
func NewLinks(place func(node string) meridian.Region, base func(a, b meridian.Region) (p50, p90 time.Duration)) *Links {
	return &Links{
		place:  place,
		base:   base,
		clock:  delay.NewClock(),
		lines:  map[[2]meridian.Region]*delay.Line{},
		faults: map[[2]meridian.Region]Fault{},
	}
}

// Set makes f, as a sees it, the fault between a and b, whoever dials, for the
// connections that stand and for those to come. Within a place nothing is
// simulated.
func (l *Links) Set(a, b meridian.Region, f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, f := range map[[2]meridian.Region]Fault{{a, b}: f, {b, a}: f.Reverse()} {
		l.faults[key] = f
		if line := l.lines[key]; line != nil {
			line.Set(f)
		}
	}
}

// Clear ends all faults.
func (l *Links) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.faults)
	for _, line := range l.lines {
		line.Set(Fault{})
	}
}

// Fault returns the fault between a and b, as a sees it.
func (l *Links) Fault(a, b meridian.Region) Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults[[2]meridian.Region{a, b}]
}

// wakeup is the clock of the delayed connections.
func (l *Links) wakeup() delay.Clock {
	if l == nil {
		return delay.Timers{} // there will be none
	}
	return l.clock
}

// line returns the path from one node to another, or nil within a place.
func (l *Links) line(from, to string) *delay.Line {
	if l == nil {
		return nil
	}
	key := [2]meridian.Region{l.place(from), l.place(to)}
	if key[0] == key[1] {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.lines[key]
	if line == nil {
		line = delay.NewLine(l.base(key[0], key[1]))
		line.Set(l.faults[key])
		l.lines[key] = line
	}
	return line
}
