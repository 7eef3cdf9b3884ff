package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
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
	"meridian/internal/pki"
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

// shownParts are those that a newcomer is told of as they become ready.
var shownParts = map[string]bool{
	"store": true, "postgres": true, "migrations": true, "database proxy": true, "functions": true,
	"gateway": true, "dns": true, "admin and console": true, "edge": true,
}

func newNode(cfg Config, child *leash.Child) (*node, error) {
	self, ok := cfg.File.Node(cfg.Node)
	r := rosterOf(cfg.File, cfg.Start)
	n := &node{cfg: cfg, file: cfg.File, self: self, leash: child, boot: rand.Text(), facts: map[string]string{}, changed: make(chan struct{}, 1)}
	n.inForce.Store(&inForce{r, cfg.File, 0})
	n.handing = newHanding(n)
	n.tele = telemetry.New(cfg.Node, string(self.Region), os.Stderr, slog.LevelInfo)
	n.log = n.tele.Log
	if n.handing.next != nil && !n.handing.overlaps() {
		n.facts[factReturns] = "1"
	}
	if !ok {
		return n, meridian.WithKind(meridian.Invalid, fmt.Errorf("%s: no node under nodes is named %q", cfg.File.Path, cfg.Node))
	}
	raiseFiles(n.log)
	if err := enter(cfg.State); err != nil {
		return n, err
	}
	return n, n.build()
}

// build makes what every node has, whatever its roles.
func (n *node) build() (err error) {
	cert, roots, err := pki.LoadNode(n.file.PKI, n.self.Name)
	if err != nil {
		return err
	}
	if n.leash != nil {
		n.links = backbone.NewLinks(n.placeOf, func(a, b meridian.Region) (p50, p90 time.Duration) { return simulated(n.world(), a, b) })
	}
	var peers []backbone.Peer
	var others []string
	for _, o := range n.file.Nodes {
		peers = append(peers, backbone.Peer{Node: o.Name, Place: o.Region, Addr: o.Backbone.String()})
		if o.Name != n.self.Name {
			others = append(others, o.Name)
		}
	}
	n.backbone, err = backbone.New(
		backbone.Config{Node: n.self.Name, Place: n.self.Region, Listen: n.self.Backbone.String()},
		backbone.Deps{Cert: cert, Roots: roots, Peers: peers, Links: n.links, Open: n.handing.sockets.Listen, Log: n.log, Metrics: n.tele.Metrics})
	if err != nil {
		return err
	}
	if n.store, err = n.newStore(); err != nil {
		return err
	}
	n.prober, err = health.New(health.Config{Node: n.self.Name}, health.Deps{
		Open:     func(ctx context.Context, node string) (net.Conn, error) { return n.backbone.Open(ctx, node, "ping") },
		Listener: n.backbone.Listener("ping"), Peers: others, Facts: n.tell,
		Observe: n.backbone.Observe, Changed: n.nudge, Log: n.log, Metrics: n.tele.Metrics})
	if err != nil {
		return err
	}
	if n.self.Has(config.RoleEdge) || n.self.Has(config.RoleRegion) {
		if n.shelf, err = n.newShelf(); err != nil {
			return err
		}
	}
	jwts, err := authorizers(n.file)
	if err != nil {
		return err
	}
	n.open = identity.NewOpener(time.Now)
	n.verify, err = identity.NewVerifier(identity.Config{JWTs: jwts, Now: time.Now})
	return err
}

func (n *node) placeOf(name string) meridian.Region {
	o, _ := n.world().Node(name)
	return o.Region
}

// run starts the parts in the order in which they need each other.
func (n *node) run(ctx context.Context) error {
	asked := ctx // ends when somebody asks for it
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.end = cancel
	if n.leash != nil {
		go func() { // ends with the process: it waits for the supervisor's end
			n.leash.Follow(n.obey)
			cancel(errors.New("the supervisor is gone"))
		}()
	}
	if n.leash == nil {
		defer n.upgrades()()
	}
	begin := time.Now()
	g := lifecycle.Group{Grace: n.handing.grace, Started: func(part string, took time.Duration) {
		n.log.Info("part ready", "part", part, "took", took)
		if shownParts[part] {
			n.leash.Report(leash.Report{Part: part, Took: took})
		}
	}}
	g.Add("backbone", n.backbone.Run)
	g.Add("store", n.store.Run)
	if n.shelf != nil {
		g.Add("certificates", n.shelf.run)
	}
	g.Add("health", n.prober.Run)
	g.Add("map", n.draw)
	service := n.backbone.Listener("node")
	g.Add("node service", func(ctx context.Context, ready func()) error { return n.serveNode(ctx, service, ready) })
	if err := n.handing.prepared(ctx, false); err != nil {
		return err
	}
	if err := n.addRoles(ctx, &g); err != nil {
		return err
	}
	n.addReloads(&g)
	offering, stopOffering := context.WithCancel(context.WithoutCancel(ctx))
	n.handing.add(&g, offering)
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

// depart ends what this node remembers of a world that it left: the copy would
// tell it so again, should it join anew.
func (n *node) depart() error {
	n.log.Info("node ended", "why", errRemoved.Error())
	return os.RemoveAll(filepath.Join(n.cfg.State, "store"))
}

func (n *node) addRoles(ctx context.Context, g *lifecycle.Group) error {
	if n.self.Has(config.RoleRegion) {
		if err := n.addRegion(g); err != nil {
			return err
		}
	}
	if n.self.Has(config.RoleStandby) {
		return n.addStandby(g)
	}
	if n.self.Has(config.RoleWitness) && n.file.Database != nil {
		g.Add("witness", n.witness)
	}
	if n.self.Has(config.RoleControl) {
		if err := n.addControl(g); err != nil {
			return err
		}
	}
	if n.self.Has(config.RoleEdge) {
		return n.addEdge(g)
	}
	return nil
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

// newStore returns this node's part in the store: of a region and of the witness
// a member, or who may become one; a follower elsewhere.
func (n *node) newStore() (store.Store, error) {
	deps := store.Deps{Log: n.log, Metrics: n.tele.Metrics, Relays: n.relays(n.world())}
	dir := filepath.Join(n.cfg.State, "store")
	if !seatable(n.self) {
		return store.NewFollower(store.FollowerConfig{Dir: dir}, deps)
	}
	founders := map[string]string{}
	for _, o := range membersOf(n.file) {
		founders[memberName(o.Name)] = ""
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
	m, err := store.NewMember(store.MemberConfig{Dir: dir, Name: memberName(n.self.Name), Peers: founders, Names: seatNames(n.world()), Heartbeat: n.heartbeat()}, deps)
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
