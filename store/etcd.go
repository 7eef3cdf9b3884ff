package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
)

// embedded returns etcd's own configuration.
func (c MemberConfig) embedded(log *zap.Logger) (*embed.Config, error) {
	own, err := url.Parse(c.Peers[c.Name])
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Name = c.Name
	cfg.Dir = filepath.Join(c.Dir, "etcd")
	cfg.ListenPeerUrls = []url.URL{*own}
	cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil // only this process asks
	cfg.InitialCluster = c.initialCluster()
	cfg.InitialClusterToken = c.Cluster
	cfg.TickMs = uint(c.Heartbeat.Milliseconds())
	cfg.ElectionMs = uint(c.Election.Milliseconds())
	cfg.MaxLearners = 2 // see decideSeats
	if c.existing {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}
	cfg.QuotaBackendBytes = 128 << 20
	cfg.MaxRequestBytes = 1 << 20
	cfg.SnapshotCount = 5000
	cfg.AutoCompactionMode = "revision"
	cfg.AutoCompactionRetention = "1000"
	cfg.EnableGRPCGateway = false
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return cfg, cfg.Validate()
}

func (c MemberConfig) initialCluster() string {
	var all []string
	for name, peer := range c.Peers {
		all = append(all, name+"="+peer)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// errGaveUp means that etcd found its data or its disk broken. What it holds in
// this process may never be let go, so that it is not started again in it.
var errGaveUp = errors.New("etcd gave up")

// runEtcd runs the member and follows it until ctx is canceled or it fails.
func (m *Member) runEtcd(ctx context.Context, c MemberConfig, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fatal := func(msg string) { cancel(fmt.Errorf("%w: %s", errGaveUp, msg)) }
	cfg, err := c.embedded(newZap(ctx, m.log, fatal))
	if err != nil {
		return err
	}
	e, err := start(ctx, cfg)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	m.serves.Store(true)
	defer m.serves.Store(false)
	stop := sync.OnceFunc(func() { stop(e) })
	defer stop()
	opening, opened := context.WithCancel(ctx)
	var open sync.WaitGroup
	open.Go(func() { m.open(opening, c, e) })
	defer open.Wait()
	defer opened()
	select {
	case <-e.Server.ReadyNotify():
		err = m.lead(ctx, e, ready)
	case <-m.misfounded(ctx, c):
		stop()
		return errors.Join(os.RemoveAll(m.data()), errUnseated)
	case <-e.Server.StopNotify():
		err = errEnded
	case err = <-e.Err():
	case <-ctx.Done():
	}
	if errors.Is(err, errEnded) && ctx.Err() == nil {
		stop()
		if gone := m.unseated(ctx, e.Server.IsIDRemoved(uint64(e.Server.MemberID()))); gone != nil {
			return gone
		}
	}
	return errors.Join(err, context.Cause(ctx))
}

// lead lets this node write through its member and follows what it sees.
func (m *Member) lead(ctx context.Context, e *embed.Etcd, ready func()) (err error) {
	client := v3client.New(e.Server)
	defer client.Close()
	m.server.Store(&served{e.Server, client})
	defer m.server.Store(nil)
	m.once.Do(func() { close(m.joined) })
	m.stats.connected.Set(1)
	defer m.stats.connected.Set(0)

	followed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		followed <- m.follow(ctx, client, uint64(e.Server.Cluster().ID()), e.Server.StoppingNotify(), ready)
	}()
	select {
	case err = <-followed:
	case err = <-e.Err():
		client.Close()
		<-followed
	case <-removed(ctx, e):
		cancel() // nothing may read from an etcd that is about to close
		m.server.Store(nil)
		client.Close()
		<-followed
		err = errEnded
	}
	return err
}

// removedPoll is less than the second that etcd goes on for after its seat was
// taken away.
const removedPoll = 100 * time.Millisecond

// removed returns a channel that closes once a member's seat was taken away, or
// its etcd ends by itself, or ctx does.
func removed(ctx context.Context, e *embed.Etcd) <-chan struct{} {
	out := make(chan struct{})
	go func() { // ends with ctx
		defer close(out)
		tick := time.NewTicker(removedPoll)
		defer tick.Stop()
		for !e.Server.IsIDRemoved(uint64(e.Server.MemberID())) {
			select {
			case <-ctx.Done():
				return
			case <-e.Server.StoppingNotify():
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

// errEnded means that etcd ended by itself: its seat may have been taken away.
var errEnded = errors.New("etcd ended by itself")

const (
	startGrace = 2 * time.Second         // for an etcd that starts when its node stops
	farewell   = 1500 * time.Millisecond // for a leader to find a successor
	hardStop   = 3 * time.Second         // for one that does not wait for others
)

// start starts etcd, which cannot be interrupted; once ctx is canceled nothing
// of the peers answers any more, and it ends soon.
func start(ctx context.Context, cfg *embed.Config) (*embed.Etcd, error) {
	type started struct {
		e   *embed.Etcd
		err error
	}
	done := make(chan started, 1)
	go func() {
		s := started{err: errGaveUp}
		defer func() { done <- s }() // also after runtime.Goexit; see newZap
		s.e, s.err = embed.StartEtcd(cfg)
	}()
	select {
	case s := <-done:
		return s.e, s.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(startGrace)
	defer timer.Stop()
	select {
	case s := <-done:
		if s.err == nil {
			stop(s.e)
		}
	case <-timer.C: // it gave up in one place, and waits in another for that
	}
	return nil, context.Cause(ctx)
}

// stop ends etcd: well if it can, then at once. An etcd that gave up may never
// end; it is left as it is.
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
	go e.Server.HardStop() // ends before e.Close does, if at all
	timer.Reset(hardStop)
	select {
	case <-closed:
	case <-timer.C:
	}
}
