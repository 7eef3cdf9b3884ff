package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"meridian"
	"meridian/internal/relay"
)

// MemberConfig says which member to run. Dir, Name and Peers are needed.
type MemberConfig struct {
	Dir     string
	Name    string            // this member
	Peers   map[string]string // all members, this one too: name to peer URL; "" is PeerURL(name)
	Cluster string            // keeps worlds apart; "" is "meridian"; never changes once chosen

	// Heartbeat should be near the largest round trip between members (0 is
	// 300 ms), Election ten times that (0 is 3 s).
	Heartbeat, Election time.Duration
}

// A Member is a voter of the store. Run may be called once.
type Member struct {
	writer
	cfg  MemberConfig
	deps Deps

	joined chan struct{} // closed once client is set
	client *clientv3.Client
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
	m := &Member{cfg: cfg, deps: deps, joined: make(chan struct{})}
	mirror, err := newMirror(cfg.Dir, &m.deps)
	if err != nil {
		return nil, fmt.Errorf("store member %s: %w", cfg.Name, err)
	}
	m.writer = writer{mirror: mirror, do: m.do}
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
	if _, ok := c.Peers[c.Name]; !ok {
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

// Run implements Store. It returns an error if etcd cannot start or fails
// later; the views and Serve stay usable, without news.
func (m *Member) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	if m.restore() {
		ready()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(nil)
	parts.Go(func() { m.keep(ctx) })
	if err := m.joinPeers(ctx, &parts); err != nil {
		return fmt.Errorf("store member %s: %w", m.cfg.Name, err)
	}
	fatal := func(msg string) { cancel(fmt.Errorf("etcd gave up: %s", msg)) }
	err := m.runEtcd(ctx, fatal, ready)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("store member %s: %w", m.cfg.Name, err)
	}
	return nil
}

// joinPeers makes the sockets through which etcd reaches its peers, and lets
// the peers in.
func (m *Member) joinPeers(ctx context.Context, parts *sync.WaitGroup) error {
	if m.deps.DialPeer == nil {
		return nil
	}
	failed := func(err error) { m.log.Debug("peer not reached", "err", err) }
	for name, u := range m.cfg.Peers {
		file, err := socket(u)
		if err != nil {
			return err
		}
		if name == m.cfg.Name {
			parts.Go(func() {
				relay.Serve(ctx, m.deps.PeerListener, func(ctx context.Context) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "unix", file)
				}, failed)
			})
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		l, err := net.Listen("unix", file)
		if err != nil {
			return fmt.Errorf("socket for peer %s: %w", name, err)
		}
		parts.Go(func() {
			relay.Serve(ctx, l, func(ctx context.Context) (net.Conn, error) { return m.deps.DialPeer(ctx, name) }, failed)
		})
	}
	return nil
}

// runEtcd runs the member and follows it until ctx is canceled or it fails.
func (m *Member) runEtcd(ctx context.Context, fatal func(string), ready func()) error {
	cfg, err := m.cfg.embedded(newZap(ctx, m.log, fatal))
	if err != nil {
		return err
	}
	e, err := start(ctx, cfg)
	if err != nil {
		return err
	}
	defer stop(e)
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		return err
	case <-ctx.Done():
		return nil
	}
	client := v3client.New(e.Server)
	defer client.Close()
	m.client = client
	close(m.joined)
	m.stats.connected.Set(1)
	defer m.stats.connected.Set(0)

	followed := make(chan error, 1)
	go func() { followed <- m.follow(ctx, client, uint64(e.Server.Cluster().ID()), ready) }()
	select {
	case err = <-followed:
	case err = <-e.Err():
		client.Close()
		<-followed
	}
	return err
}

// start starts etcd, which cannot be interrupted; once ctx is canceled nothing
// of the peers answers any more, and it ends soon.
func start(ctx context.Context, cfg *embed.Config) (*embed.Etcd, error) {
	type started struct {
		e   *embed.Etcd
		err error
	}
	done := make(chan started, 1)
	go func() {
		s := started{err: errors.New("etcd gave up while it started")}
		defer func() { done <- s }() // also after runtime.Goexit; see newZap
		s.e, s.err = embed.StartEtcd(cfg)
	}()
	s := <-done
	if s.err == nil && ctx.Err() != nil {
		stop(s.e)
		return nil, context.Cause(ctx)
	}
	return s.e, s.err
}

// farewell is how long a leader may look for a successor before it stops.
const farewell = 1500 * time.Millisecond

func stop(e *embed.Etcd) {
	closed := make(chan struct{})
	go func() { e.Close(); close(closed) }()
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-closed:
		return
	case <-timer.C:
	}
	e.Server.HardStop()
	<-closed
}

// follow feeds the mirror from this member's own data: no read of it waits for
// the other members.
func (m *Member) follow(ctx context.Context, client *clientv3.Client, cluster uint64, ready func()) error {
	for ctx.Err() == nil {
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

// do writes through this member.
func (m *Member) do(ctx context.Context, o op) (result, error) {
	select {
	case <-m.joined:
	case <-ctx.Done():
		return result{}, unavailable(o, fmt.Errorf("this member has not joined yet: %w", ctx.Err()))
	}
	do := clientv3.OpPut(o.Key, string(o.Value))
	if o.Delete {
		do = clientv3.OpDelete(o.Key)
	}
	txn := m.client.Txn(ctx)
	if o.CAS {
		txn = txn.If(clientv3.Compare(clientv3.ModRevision(o.Key), "=", o.OldRev))
	}
	r, err := txn.Then(do).Commit()
	if err != nil {
		return result{}, unavailable(o, err)
	}
	return result{OK: r.Succeeded, Rev: r.Header.Revision}, nil
}
