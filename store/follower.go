package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"meridian"
)

// FollowerConfig says where a follower keeps its copy.
type FollowerConfig struct {
	Dir string
}

// A Follower has no vote: it sees the store through a member's relay, the
// nearest first, and moves to the next when one falls silent. It stays with one
// that works, near or far: going back would be worth less than it could cost.
type Follower struct {
	writer
	relays *relays
}

// NewFollower makes cfg.Dir.
func NewFollower(cfg FollowerConfig, deps Deps) (*Follower, error) {
	if cfg.Dir == "" || len(deps.Relays) == 0 {
		return nil, meridian.WithKind(meridian.Invalid, errors.New("store follower: want a folder and at least one relay"))
	}
	mirror, err := newMirror(cfg.Dir, &deps)
	if err != nil {
		return nil, fmt.Errorf("store follower: %w", err)
	}
	f := &Follower{relays: newRelays(deps.Relays)}
	f.writer = writer{mirror: mirror, attempt: func(ctx context.Context, t try, _ int) (finding, error) { return f.relays.attempt(ctx, t) }}
	return f, nil
}

// SetRelays says which ways to members there are from now on.
func (f *Follower) SetRelays(open []func(context.Context) (net.Conn, error)) { f.relays.set(open) }

// Members asks who the members are.
func (f *Follower) Members(ctx context.Context) ([]Seat, error) { return f.relays.members(ctx) }

// Run implements Store. It never returns an error: without a relay it goes on
// with the last good copy, and keeps asking.
func (f *Follower) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	if f.restore() {
		ready()
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { f.keep(ctx) })
	f.relays.trail(ctx, f.mirror, func() {
		f.stats.connected.Set(1)
		ready()
	}, func() { f.stats.connected.Set(0) })
	return nil
}
