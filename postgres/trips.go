package postgres

import (
	"slices"

	"meridian/postgres/classify"
	"meridian/postgres/session"
)

// A meter counts the wide-area trips of a session: groups that go to the
// primary while it owes the session nothing. In the primary's region it counts
// those that a secondary would send, and so it follows what a secondary's
// proxy would know: where the block is open, and whether the primary owes
// anything.
type meter struct {
	block place
	owes  bool
}

// add reports whether a group, routed by d, is a trip. Of one that follows
// others without waiting for them, the flight is theirs.
func (m *meter) add(v routeView, d routeDecision) (trip bool) {
	if v.Here {
		if !v.Busy {
			m.owes = false
		}
		if v.Block == nowhere && !v.Busy {
			m.block = nowhere
		}
		v.Here, v.Block, v.Busy, v.Movable = false, m.block, v.Busy && m.owes, true
		d = route(v)
	}
	m.follow(v, d)
	goes := d.Do == toMain || d.Do == doMove
	m.owes = m.owes || goes
	return goes && !v.Busy
}

// follow notes where the block is open after a group.
func (m *meter) follow(v routeView, d routeDecision) {
	does := classify.NoBlock
	if v.Verdict != nil {
		does = v.Verdict.Block
	}
	switch {
	case does == classify.End:
		m.block = nowhere
	case does == classify.Begin && d.Do == doFold:
		m.block = deferred
	case does == classify.Begin && d.Do == toNear:
		m.block = onNear
	case does == classify.Begin, m.block != nowhere && (d.Do == toMain || d.Do == doMove):
		m.block = onMain
	}
}

// A flight is a group that the primary owes an answer.
type flight struct {
	end    func() // of its span
	credit func() // for the trip that it is; nil if it is none
	mark   mark
}

// trip begins the trip that the group at hand is, if it is one, and returns
// what credits it.
func (c *client) trip(v routeView, d routeDecision) (credit func()) {
	if c.env == nil || !c.meter.add(v, d) {
		return nil
	}
	return c.env.trip()
}

// tripLater is trip for what follows in a group whose first messages ran
// nothing and were flushed: in the primary's region they went to the primary,
// but a secondary would have answered them.
func (c *client) tripLater(m session.Message) {
	if m.Kind != 'E' || c.env == nil || c.main.backend == nil {
		return
	}
	c.group.Add(m)
	v := c.view()
	c.group.Reset()
	credit := c.trip(v, route(v))
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.main.flights); credit != nil && n > 0 && c.main.flights[n-1].credit == nil {
		c.main.flights[n-1].credit = credit
	}
}

// trip begins a trip. credit counts it for the invocations that have been in
// flight from its beginning: no other can have waited for all of it.
func (e *env) trip() (credit func()) {
	e.mu.Lock()
	began := slices.Clone(e.inFlight)
	e.mu.Unlock()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, w := range began {
			if slices.Contains(e.inFlight, w) {
				w.observed.Trips++
			}
		}
	}
}
