package store

import (
	"context"
	"fmt"
	"time"
)

// seatEvery is how often the leader looks at the seats.
const seatEvery = 500 * time.Millisecond

// KeepSeats changes, while this member leads, one seat after another until those
// vote whom wanted names of the ones that vote now, until ctx is canceled.
func (m *Member) KeepSeats(ctx context.Context, wanted func(votes []string) []string) {
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	said, failed := "", 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d, err := m.seatOnce(ctx, wanted, failed)
		if failed++; err == nil {
			failed = 0
		}
		if text := fmt.Sprint(d, err); d.do != "" && text != said && ctx.Err() == nil {
			m.log.Info("seats of the store", "do", d.do, "who", d.who, "why", d.why, "err", err)
			said = text
		}
	}
}

// seatOnce makes one change, if one is due.
func (m *Member) seatOnce(ctx context.Context, wanted func([]string) []string, failed int) (step, error) {
	s := m.server.Load()
	if s == nil || s.Leader() != s.MemberID() {
		return step{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Election)
	defer cancel()
	seats, err := seatsOf(ctx, s.client)
	if err != nil {
		return step{}, err
	}
	v, ids := seating{self: m.cfg.Name, failed: failed}, map[string]uint64{}
	for _, seat := range seats {
		name := m.nameOf(seat.Peer)
		if ids[name] = seat.ID; seat.Learn {
			v.learn = append(v.learn, name)
		} else {
			v.votes = append(v.votes, name)
		}
	}
	v.wanted = wanted(v.votes)
	d := decideSeats(v)
	switch d.do {
	case "add":
		_, err = s.client.MemberAddAsLearner(ctx, []string{PeerURL(d.who)})
	case "promote":
		_, err = s.client.MemberPromote(ctx, ids[d.who])
	case "remove":
		_, err = s.client.MemberRemove(ctx, ids[d.who])
	case "yield":
		err = s.MoveLeader(ctx, s.Lead(), ids[d.who])
	}
	return d, err
}
