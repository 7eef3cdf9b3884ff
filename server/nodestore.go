package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"meridian"
	"meridian/config"
	"meridian/postgres/failover"
	"meridian/store"
)

// newStore returns this node's part in the store: of a region and of the witness
// a member, or who may become one; a follower elsewhere.
func (n *node) newStore() (store.Store, error) {
	deps := store.Deps{Log: n.log, Metrics: n.tele.Metrics, Relays: n.relays(n.world())}
	dir := filepath.Join(n.cfg.State, "store")
	if !seatable(n.self) {
		return store.NewFollower(store.FollowerConfig{Dir: dir}, deps)
	}
	founders, opens := map[string]string{}, ""
	for i, o := range membersOf(n.file) {
		founders[memberName(o.Name)] = ""
		if i == 0 { // the primary's
			opens = memberName(o.Name)
		}
	}
	deps.PeerListener = n.backbone.Listener("etcd")
	deps.DialPeer = func(ctx context.Context, member string) (net.Conn, error) {
		for _, o := range n.world().Nodes {
			if seatable(o) && memberName(o.Name) == member {
				return n.backbone.Dial(ctx, o.Name, "etcd")
			}
		}
		return nil, meridian.WithKind(meridian.NotFound, fmt.Errorf("no member of the store is named %s", member))
	}
	m, err := store.NewMember(store.MemberConfig{Dir: dir, Name: memberName(n.self.Name), Peers: founders, Opens: opens, Names: seatNames(n.world()), Heartbeat: n.heartbeat()}, deps)
	if err != nil {
		return nil, err
	}
	return relaying{m, n.backbone.Listener("store"), n.wantedLeader, n.wantedVotes}, nil
}

// relays returns how to reach the nodes that may be members, but for this one.
func (n *node) relays(f *config.File) []func(context.Context) (net.Conn, error) {
	var others []string
	for _, o := range f.Nodes {
		if seatable(o) && o.Name != n.self.Name {
			others = append(others, o.Name)
		}
	}
	return n.ways(others)
}

// ways returns how to reach the relays of members, the nearest first.
func (n *node) ways(members []string) (out []func(context.Context) (net.Conn, error)) {
	for _, r := range n.nearestFirst(members) {
		out = append(out, func(ctx context.Context) (net.Conn, error) { return n.backbone.Open(ctx, r, "store") })
	}
	return out
}

// wantedLeader names the member that should lead the store now; "" before
// anybody holds the right to write.
func (n *node) wantedLeader() string {
	if n.file.Database == nil {
		return ""
	}
	var r failover.Record
	each(n.store.Now(), primaryPrefix+n.file.Database.Name, n.log, func(_ string, x failover.Record) { r = x })
	if r.Region == "" {
		return ""
	}
	return n.leaderFor(r.Region)
}

// relaying is a member that also serves followers.
type relaying struct {
	*store.Member
	followers net.Listener
	wanted    func() string               // the member that should lead
	votes     func(now []string) []string // who should vote
}

// Run runs the member and its relay.
func (r relaying) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var relay error
	done := make(chan struct{})
	go func() { // awaited below
		defer close(done)
		if relay = r.Serve(ctx, r.followers); relay != nil {
			cancel()
		}
	}()
	led := make(chan struct{})
	go func() { // awaited below
		defer close(led)
		r.KeepLead(ctx, r.wanted)
	}()
	seated := make(chan struct{})
	go func() { // awaited below
		defer close(seated)
		r.KeepSeats(ctx, r.votes)
	}()
	err := r.Member.Run(ctx, ready)
	cancel()
	<-done
	<-led
	<-seated
	return errors.Join(err, relay)
}
