package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"meridian"
)

// MemberConfig says which member to run. Dir, Name and Peers are needed.
type MemberConfig struct {
	Dir   string
	Name  string            // this member
	Peers map[string]string // all members, this one too: name to peer URL; "" is PeerURL(name)
	// Names are all who may become members, this one and the peers too. Peers are
	// the founders: who votes later is for KeepSeats.
	Names   []string
	Opens   string // of them the one that leads first, best the primary's; "": chance decides
	Cluster string // keeps worlds apart; "" is "meridian"; never changes once chosen

	// Heartbeat should be half the largest round trip between members (0 is
	// 300 ms), Election ten times that (0 is 3 s): a lost leader is missed after
	// one to two Election, the same for each member, since one refuses its vote
	// for as long after it heard the leader. Finer ticks make it rarer that two
	// ask for the lead at once, and both in vain.
	Heartbeat, Election time.Duration

	existing bool // Peers are members of a cluster that this one joins
	founding bool // there is no cluster yet, as far as this one knows
}

// A Member is a voter of the store, or may become one: until it is, it follows
// the others as a Follower does. Run may be called once.
type Member struct {
	writer
	cfg  MemberConfig
	deps Deps

	joined chan struct{}          // closed when server is first set
	once   sync.Once              // closes it
	server atomic.Pointer[served] // nil while etcd is not up
	relays *relays                // of the other members
	heard  atomic.Uint64          // counts what came from the other members' etcds
	serves atomic.Bool            // this member's etcd answers the others'
	seats  struct {
		mu      sync.Mutex      // guards what follows
		sockets map[string]bool // by the name of a peer: whether it was made
		named   chan struct{}   // holds one nudge
	}
}

// NewMember checks cfg and makes Dir. The process's working folder must not
// change after this, and no other member may have the same.
func NewMember(cfg MemberConfig, deps Deps) (*Member, error) {
	cfg.Peers = withURLs(cfg.Peers)
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 300 * time.Millisecond
	}
	if cfg.Election == 0 {
		cfg.Election = 10 * cfg.Heartbeat
	}
	if cfg.Cluster == "" {
		cfg.Cluster = "meridian"
	}
	if err := cfg.check(deps); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("store member %s: %w", cfg.Name, err))
	}
	m := &Member{cfg: cfg, deps: deps, joined: make(chan struct{}), relays: newRelays(deps.Relays)}
	m.seats.sockets, m.seats.named = map[string]bool{}, make(chan struct{}, 1)
	m.SetNames(append(slices.Collect(maps.Keys(cfg.Peers)), append(cfg.Names, cfg.Name)...))
	mirror, err := newMirror(cfg.Dir, &m.deps)
	if err != nil {
		return nil, fmt.Errorf("store member %s: %w", cfg.Name, err)
	}
	m.writer = writer{mirror: mirror, attempt: m.attempt}
	return m, nil
}

func withURLs(peers map[string]string) map[string]string {
	out := make(map[string]string, len(peers))
	for name, u := range peers {
		if u == "" {
			u = PeerURL(name)
		}
		out[name] = u
	}
	return out
}

func (c MemberConfig) check(deps Deps) error {
	if c.Dir == "" {
		return errors.New("no folder")
	}
	if _, ok := c.Peers[c.Name]; !ok && !slices.Contains(c.Names, c.Name) {
		return errors.New("it is not among the peers")
	}
	if (deps.DialPeer == nil) != (deps.PeerListener == nil) {
		return errors.New("want a way to the peers and a listener for them, or neither")
	}
	sockets := map[string]string{}
	for name, u := range c.Peers {
		s, err := socket(u)
		if err != nil {
			return fmt.Errorf("peer %s: %w", name, err)
		}
		if other, ok := sockets[s]; ok {
			return fmt.Errorf("peers %s and %s have the same URL %s", name, other, u)
		}
		sockets[s] = name
	}
	return nil
}

// Run implements Store. It returns an error only if it cannot make the peers'
// sockets. When etcd cannot start, Run says so and tries again; when it finds its
// data broken, Run says so and leaves it down. The views and Serve stay usable
// meanwhile, without news.
func (m *Member) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	if m.restore() {
		ready()
	}
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { m.keep(ctx) })
	// Always, not only while this member has no leader: what is needed in an
	// emergency is better in use before it.
	parts.Go(func() { m.trail(ctx, ready) })
	if err := m.joinPeers(ctx, &parts); err != nil {
		return fmt.Errorf("store member %s: %w", m.cfg.Name, err)
	}
	if m.deps.DialPeer != nil { // else nobody counts what is heard
		parts.Go(func() { m.listen(ctx) })
	}
	for ctx.Err() == nil {
		cfg, err := m.takeSeat(ctx)
		if err == nil {
			err = m.runEtcd(ctx, cfg, ready)
		}
		if ctx.Err() != nil {
			return nil
		}
		m.rest(ctx, cfg, err)
	}
	return nil
}

// trail follows the other members until ctx is canceled.
func (m *Member) trail(ctx context.Context, ready func()) {
	m.relays.trail(ctx, m.mirror, func() { m.stats.connected.Set(1); ready() }, func() {
		if m.server.Load() == nil {
			m.stats.connected.Set(0)
		}
	})
}

// rest says why etcd ended, and waits until it is to be tried again: until ctx is
// canceled if it is not.
func (m *Member) rest(ctx context.Context, cfg MemberConfig, err error) {
	switch {
	case errors.Is(err, errUnseated):
		m.log.Info("this node votes on the store no more, and follows it")
	case errors.Is(err, errGaveUp):
		m.log.Error("this member of the store is down until the node is started again; "+
			"the node goes on with its last good copy", "err", err)
		<-ctx.Done()
	case cfg.existing && !m.founded(): // the seats changed meanwhile
		m.log.Info("this node has not taken its seat in the store yet", "err", err)
		pause(ctx, seatEvery)
	default:
		m.log.Error("this member of the store is down, starting it again", "pause", restartPause, "err", err)
		pause(ctx, restartPause)
	}
}

// restartPause lies between two tries of an etcd that does not stay up.
const restartPause = 3 * time.Second

// follow feeds the mirror from this member's own data: no read of it waits for
// the other members.
func (m *Member) follow(ctx context.Context, client *clientv3.Client, cluster uint64, stopping <-chan struct{}, ready func()) error {
	for ctx.Err() == nil {
		select {
		case <-stopping: // what is read from a closed backend ends the process
			return errEnded
		default:
		}
		all, err := client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithSerializable())
		if err != nil {
			return err
		}
		c := change{Cluster: cluster, Rev: all.Header.Revision, Whole: true}
		for _, kv := range all.Kvs {
			c.Set = append(c.Set, Entry{Key: string(kv.Key), Value: kv.Value, Rev: kv.ModRevision})
		}
		m.apply(c)
		ready()
		wctx, cancel := context.WithCancel(ctx)
		events := client.Watch(wctx, "", clientv3.WithPrefix(), clientv3.WithRev(c.Rev+1))
		for r := range events {
			if r.Err() != nil {
				break // compacted while this node was slow: begin with the whole again
			}
			m.apply(changeOf(cluster, r))
		}
		cancel()
	}
	return nil
}

func changeOf(cluster uint64, r clientv3.WatchResponse) change {
	c := change{Cluster: cluster, Rev: r.Header.Revision}
	last := map[string]*Entry{}
	for _, ev := range r.Events {
		c.Rev = max(c.Rev, ev.Kv.ModRevision)
		key := string(ev.Kv.Key)
		if ev.Type == clientv3.EventTypeDelete {
			last[key] = nil
			continue
		}
		last[key] = &Entry{Key: key, Value: ev.Kv.Value, Rev: ev.Kv.ModRevision}
	}
	for key, e := range last {
		if e == nil {
			c.Gone = append(c.Gone, key)
			continue
		}
		c.Set = append(c.Set, *e)
	}
	return c
}
