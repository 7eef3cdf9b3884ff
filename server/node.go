package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/backbone"
	"meridian/config"
	"meridian/health"
	"meridian/identity"
	"meridian/internal/boottime"
	"meridian/internal/leash"
	"meridian/internal/lifecycle"
	"meridian/internal/spare"
	"meridian/postgres/backup"
	"meridian/postgres/failover"
	"meridian/store"
	"meridian/telemetry"
	"meridian/topology"
)

// A node is one process and what its parts share.
type node struct {
	cfg   Config
	file  *config.File
	self  config.Node
	leash *leash.Child

	tele      *telemetry.Node
	log       *slog.Logger
	links     *backbone.Links // nil in production
	backbone  *backbone.Backbone
	store     store.Store
	prober    *health.Prober
	atlas     topology.Map
	verify    *identity.Verifier
	open      *identity.Opener
	leavePG   func()         // lets PostgreSQL go on without this node
	tenure    *tenure        // nil without a database here
	keeper    *backup.Keeper // nil without backups of a database here
	boot      string         // names this start of the node
	inForce   atomic.Pointer[inForce]
	end       context.CancelCauseFunc // of the whole node
	tokenKeys atomic.Pointer[[]tokenKeyRecord]
	parted    atomic.Pointer[parted]
	reloads   reloads
	handing   *handing
	rollouts  *jury    // nil without an edge
	kvs       *kvs     // likewise
	purging   *purging // nil where there is neither a cache nor an operator
	tickets   *tickets // nil without an edge
	shelf     *shelf   // nil where there is neither an edge nor a region

	changed chan struct{} // holds one nudge: the map may have changed

	mu    sync.Mutex // guards what follows
	facts map[string]string
	seen  view // what the newest map was drawn from
}

// Run runs a node until ctx is over, or a part of it fails. Its error says
// which. Reports of what became ready go up the leash, if there is one.
func Run(ctx context.Context, cfg Config) error {
	spare.Bytes(garbage)
	child := leash.Attach()
	n, err := newNode(cfg, child)
	if err == nil {
		err = n.run(ctx)
	}
	for errors.Is(err, errResumed) {
		cfg.Next = nil
		if n, err = newNode(cfg, child); err == nil {
			err = n.run(ctx)
		}
	}
	if err != nil {
		cfg.Next.Fail(err)
	}
	if err != nil && n != nil {
		n.leash.Report(leash.Report{Error: err.Error()})
		n.log.Error("node ended", "why", err.Error())
	}
	return err
}

// garbage is what a node may make before it collects, however little it holds.
const garbage = 64 << 20

// shownParts are those that a newcomer is told of as they become ready.
var shownParts = map[string]bool{
	"store": true, "postgres": true, "migrations": true, "database proxy": true, "functions": true,
	"gateway": true, "dns": true, "admin and console": true, "edge": true,
}

// run starts the parts in the order in which they need each other.
func (n *node) run(ctx context.Context) error {
	asked := ctx // ends when somebody asks for it
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.end = cancel
	defer n.heed()()
	begin := time.Now()
	g := lifecycle.Group{Grace: n.handing.grace, Started: n.started}
	n.addGround(&g)
	if err := n.handing.prepared(ctx, false); err != nil {
		return err
	}
	if err := n.addRoles(ctx, &g); err != nil {
		return err
	}
	n.addReloads(&g)
	offering, stopOffering := context.WithCancel(context.WithoutCancel(ctx))
	n.handing.add(&g, offering)
	n.addReady(&g, begin)
	defer context.AfterFunc(asked, n.handing.hurry)()
	if err := n.handing.prepared(ctx, true); err != nil {
		stopOffering()
		return err
	}
	err := n.handing.stopped(asked, stopOffering, g.Run(ctx))
	if errors.Is(context.Cause(ctx), errRemoved) {
		return n.depart()
	}
	return err
}

// heed follows the supervisor's orders, or, where there is none, the signals by
// which an operator asks for an upgrade, until the end that it returns.
func (n *node) heed() (end func()) {
	if n.leash == nil {
		return n.upgrades()
	}
	go func() { // ends with the process: it waits for the supervisor's end
		n.leash.Follow(n.obey)
		n.end(errors.New("the supervisor is gone"))
	}()
	return func() {}
}

// started says that a part became ready.
func (n *node) started(part string, took time.Duration) {
	n.log.Info("part ready", "part", part, "took", took)
	if shownParts[part] {
		n.leash.Report(leash.Report{Part: part, Took: took})
	}
}

// addGround adds what every node has, whatever its roles.
func (n *node) addGround(g *lifecycle.Group) {
	g.Add("backbone", n.backbone.Run)
	g.Add("store", n.store.Run)
	if n.shelf != nil {
		g.Add("certificates", n.shelf.run)
	}
	g.Add("health", n.prober.Run)
	g.Add("map", n.draw)
	service := n.backbone.Listener("node")
	g.Add("node service", func(ctx context.Context, ready func()) error { return n.serveNode(ctx, service, ready) })
}

// addReady adds the last part: it says that all others are ready.
func (n *node) addReady(g *lifecycle.Group, begin time.Time) {
	g.Add("ready", func(ctx context.Context, ready func()) error {
		n.fact(factReady, "1")
		n.fact(factReturns, "")
		ready()
		n.log.Info("node ready", "took", time.Since(begin))
		n.leash.Report(leash.Report{Ready: true, Took: time.Since(begin)})
		<-ctx.Done()
		n.handing.withdraw()
		return nil
	})
}

// depart ends what this node remembers of a world that it left: the copy would
// tell it so again, should it join anew.
func (n *node) depart() error {
	n.log.Info("node ended", "why", errRemoved.Error())
	return os.RemoveAll(filepath.Join(n.cfg.State, "store"))
}

// obey makes the simulated links as the supervisor orders.
func (n *node) obey(o leash.Order) {
	n.links.Clear()
	for _, f := range o.Faults {
		n.links.Set(meridian.Region(f.A), meridian.Region(f.B), backbone.Fault{Cut: f.Cut && !f.OneWay, Mute: f.Cut && f.OneWay, Extra: f.Extra})
	}
}

// fact sets what this node tells others of itself.
func (n *node) fact(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.facts[name] = value
}

// tell returns what this node tells others of itself.
func (n *node) tell() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[string]string, len(n.facts)+1)
	for k, v := range n.facts {
		out[k] = v
	}
	out[factClock] = clockText(failover.Mark{Boot: n.boot, At: boottime.Now()})
	return out
}
