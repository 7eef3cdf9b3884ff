package server

import (
	"context"
	"time"

	"meridian"
	"meridian/internal/boottime"
	"meridian/postgres/failover"
)

// markPrefix + database + "/" + region: a failover.Mark of a move's successor.
const markPrefix = "switch/mark/"

const (
	markEvery    = 500 * time.Millisecond // while a move is under way: its successor's right counts from the last
	leadPatience = time.Second
	markPatience = 2 * time.Second // for the first; without one the successor renews before it opens
)

// keepReady prepares this region for each move that an operator asks for, while
// the holder does its own part, until ctx is over: all regions open a link to
// the successor, which makes its slots and marks the time.
func (s *steward) keepReady(ctx context.Context) {
	var prepared string // a move's ID
	var marked time.Duration
	follow(ctx, s.store, markEvery, func() {
		m, pending := s.pending()
		to := pending && m.To == s.self.Region
		if now := boottime.Now(); to && (prepared != m.ID || now-marked >= markEvery) {
			marked = now
			mark := failover.Mark{Move: m.ID, Boot: s.tenure.boot, At: now}
			if err := s.store.Put(ctx, markPrefix+s.db+"/"+string(s.self.Region), mustJSON(mark)); err != nil && ctx.Err() == nil {
				s.log.Warn("the time was not marked for a move", "id", m.ID, "why", err.Error())
			}
		}
		if pending && prepared != m.ID {
			prepared = m.ID
			s.prepare(ctx, m)
		}
	})
}

// pending returns the move that the holder of now was asked for and has not
// answered.
func (s *steward) pending() (m failover.Move, ok bool) {
	m = s.asked(s.store.Now())
	r, _, _ := s.tenure.now()
	return m, m.ID != "" && m.Term == r.Term && m.To != r.Region
}

// prepare does what would take a moment of the pause otherwise. A move goes
// well without it.
func (s *steward) prepare(ctx context.Context, m failover.Move) {
	ctx, cancel := context.WithTimeout(ctx, markPatience)
	defer cancel()
	var err error
	if m.To == s.self.Region {
		err = s.pg.Slots(ctx, s.slots())
	} else {
		err = s.warm(ctx, m.To)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Info("not prepared for a move", "to", m.To, "why", err.Error())
	}
}

// awaitMark waits for the successor's first mark of a move.
func (s *steward) awaitMark(ctx context.Context, m *failover.Move) {
	ctx, cancel := context.WithTimeout(ctx, markPatience)
	defer cancel()
	await(ctx, s.store, func() bool { return s.markOf(m) != failover.Mark{} })
}

// markOf returns the successor's newest mark of a move, or none.
func (s *steward) markOf(m *failover.Move) (mark failover.Mark) {
	each(s.store.Now(), markPrefix+s.db+"/"+string(m.To), s.log, func(_ string, x failover.Mark) {
		if x.Move == m.ID {
			mark = x
		}
	})
	return mark
}

// lead lets this node's member of the store lead it, if that is the member
// which is nearest to the primary. Left alone it asks when the primary has
// stood for a while.
func (n *node) lead(ctx context.Context) error {
	m, ok := n.store.(relaying)
	if self := memberName(n.self.Name); !ok || n.wantedLeader() != self || m.Leader() == self {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leadPatience)
	defer cancel()
	return m.Lead(ctx)
}

// warm opens this node's link to another region's proxy.
func (n *node) warm(ctx context.Context, region meridian.Region) error {
	c, err := n.dialProxy(ctx, region)
	if err != nil {
		return err
	}
	return c.Close()
}
