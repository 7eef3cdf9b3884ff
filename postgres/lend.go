package postgres

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// Lending: a session keeps its server connection while it is idle, as session
// pooling promises, until others wait for one and find none. Then the sessions
// that are idle the longest, and could move to another primary, give theirs. What
// they need of it follows them to the next one, as in a move.

// idleness is since when a session is idle, as far as anybody has looked.
type idleness struct {
	used atomic.Bool  // since somebody looked
	seen atomic.Int64 // when that was noticed, in nanoseconds since 1970; 0: not yet
}

// use notes that the session is at work.
func (i *idleness) use() {
	if !i.used.Load() { // the line of the cache is others', too
		i.used.Store(true)
	}
}

// since returns the earliest time since which the session is known to be idle.
func (i *idleness) since(now time.Time) time.Time {
	if i.used.Swap(false) || i.seen.Load() == 0 {
		i.seen.Store(now.UnixNano())
	}
	return time.Unix(0, i.seen.Load())
}

// A lender is a session that may lend its server connection.
type lender interface {
	since(now time.Time) time.Time
	// lend gives back the session's connection of a pool, if it is idle and the
	// session needs none of what only that has.
	lend(*pool.Pool) bool
}

// lend has at most n connections of a pool given back by sessions that are idle for
// Config.LendAfter, the longest idle first.
func (p *Proxy) lend(from *pool.Pool, n int) {
	type idle struct {
		s     lender
		since time.Time
	}
	now := p.deps.Now()
	var all []idle
	for _, s := range p.leavers() {
		if since := s.since(now); now.Sub(since) >= p.cfg.LendAfter {
			all = append(all, idle{s, since})
		}
	}
	slices.SortFunc(all, func(a, b idle) int { return cmp.Compare(a.since.UnixNano(), b.since.UnixNano()) })
	for _, i := range all {
		if n > 0 && i.s.lend(from) {
			p.metrics.lent.Inc()
			n--
		}
	}
}

// lend implements lender for a client of this region.
func (c *client) lend(from *pool.Pool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.near; n != nil && n.on.pool == from && !n.lent.Load() && c.nearFreeLocked() {
		n.lent.Store(true) // it is replaced when it is needed
		n.backend.Close()
		return true
	}
	if u := c.main; u != nil && u.backend != nil && from == c.p.pool && u.freeLocked() {
		u.dead = true
		u.backend.Close()
		return true
	}
	return false
}

// nearFreeLocked reports whether nothing is open or under way on the backend for
// reads.
func (c *client) nearFreeLocked() bool {
	n := c.near
	return !c.nearBusy.Load() && !n.open.Load() && n.tracker.Idle() && n.tracker.Status == 'I'
}

// lend implements lender for a session of another region's proxy, which alone knows
// whether the session can spare its connection: it is asked, once until it is at work.
func (s *peer) lend(from *pool.Pool) bool {
	s.mu.Lock()
	free := s.lends && !s.asked && from == s.p.pool && s.farewell == nil && s.owed == 0 && !s.mid && s.status == 'I' && s.pinned == ""
	s.asked = s.asked || free
	s.mu.Unlock()
	if !free {
		return false
	}
	_, err := s.conn.Write(wire.Builder(nil).Message(wire.FrameLend))
	return err == nil
}

// lentLocked takes the question of the primary's proxy: a stream that ends here ends
// in good order there.
func (u *upstream) lentLocked() {
	if u.freeLocked() {
		u.dead = true
		u.conn.Close()
	}
}
