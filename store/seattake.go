package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// data is etcd's folder.
func (m *Member) data() string { return filepath.Join(m.cfg.Dir, "etcd") }

// founded reports whether this node has been a member before.
func (m *Member) founded() bool {
	_, err := os.Stat(filepath.Join(m.data(), "member", "wal"))
	return err == nil
}

// takeSeat waits until this node is a member, and returns who are. One that was a
// member is one, until a majority says otherwise. One that was none, where there
// is a cluster already, waits to be added to it; where there is none yet, the
// founders found it.
func (m *Member) takeSeat(ctx context.Context) (c MemberConfig, err error) {
	c = m.cfg
	_, founder := c.Peers[c.Name]
	founder = founder && m.Now().Rev() == 0 // with a copy of a store there was one
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	for {
		if m.founded() {
			c.Peers = withURLs(map[string]string{c.Name: ""}) // etcd goes by its own data
			return c, nil
		}
		seats, err := m.relays.members(ctx)
		if err == nil && len(seats) > 0 {
			founder = false
		}
		if i := slices.IndexFunc(seats, func(s Seat) bool { return s.Peer == PeerURL(c.Name) }); i >= 0 {
			c.existing, c.Peers = true, map[string]string{}
			for _, s := range seats {
				c.Peers[m.nameOf(s.Peer)] = s.Peer
			}
			return c, nil
		}
		if founder {
			c.founding = true
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// misfounded returns a channel that closes once a member that founds a store, and
// waits for the other founders, hears of one that others have without it.
func (m *Member) misfounded(ctx context.Context, c MemberConfig) <-chan struct{} {
	if !c.founding {
		return nil
	}
	out := make(chan struct{})
	go func() { // ends with ctx
		tick := time.NewTicker(seatEvery)
		defer tick.Stop()
		for {
			seats, err := m.relays.members(ctx)
			if err == nil && !slices.ContainsFunc(seats, func(s Seat) bool { return s.Peer == PeerURL(c.Name) }) {
				close(out)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

// errUnseated means that a majority took this member's seat away.
var errUnseated = errors.New("this node is no member of the store any more")

// unseated finds out, when etcd has ended by itself, whether its seat was taken
// away, and removes what it held then: it could not be used again.
func (m *Member) unseated(ctx context.Context, removed bool) error {
	if !removed {
		seats, err := m.relays.members(ctx)
		if err != nil || slices.ContainsFunc(seats, func(s Seat) bool { return s.Peer == PeerURL(m.cfg.Name) }) {
			return nil
		}
	}
	if err := os.RemoveAll(m.data()); err != nil {
		return err
	}
	return errUnseated
}
