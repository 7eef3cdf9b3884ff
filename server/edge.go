package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"meridian"
	"meridian/config"
	"meridian/edge"
	"meridian/edge/accesslog"
	"meridian/edge/cache"
	"meridian/edge/cert/acme"
	"meridian/edge/function"
	"meridian/edge/geo"
	"meridian/internal/lifecycle"
)

// addEdge adds the door, and what follows the world for it.
func (n *node) addEdge(g *lifecycle.Group) error {
	p, err := n.doorParts(g)
	if err != nil {
		return err
	}
	door, err := edge.New(n.doorConfig(p), n.doorDeps(p))
	if err != nil {
		return err
	}
	n.handing.door, p.gossip.hear = door, door.Hear
	n.takes("edge", edgeRules, func(f *config.File) (func(), error) {
		rules, err := rulesOf(f)
		if err != nil {
			return nil, err
		}
		return door.Prepare(rules)
	})
	n.addRollouts(g, door)
	n.addFollowers(g, p)
	if len(n.file.RateLimits) > 0 {
		g.Add("uses", newUses(n, door).run)
	}
	n.addPurged(g, door.Purge)
	if n.handing.next != nil {
		g.Add("look around", n.lookAround)
	}
	g.Add("edge", door.Run)
	addAuthority(g, p.authority)
	n.addShield(g, door.Inner())
	return nil
}

// A doorParts is what a door stands on, made from the node's file and folder.
type doorParts struct {
	stores     *kvs
	functions  function.Config
	rules      edge.Rules
	key        *edgeKey
	where      *geo.Database // nil without one
	logged     *accesslog.Config
	onDisk     cache.Disk
	authority  *acme.Manager // nil without one
	challenges edge.Challenges
	asks       edge.Clients
	gossip     *gossip
}

// doorParts makes them. All that is wrong is told at once.
func (n *node) doorParts(g *lifecycle.Group) (p doorParts, err error) {
	var errs [10]error
	p.stores, errs[0] = n.addKVS(g)
	p.functions, errs[1] = edgeFunctions(n.file)
	p.rules, errs[2] = rulesOf(n.file)
	p.key, errs[3] = n.edgeKey()
	p.where, errs[4] = places(n.file, n.log)
	p.logged, errs[5] = n.accessLog()
	errs[6] = n.addPurges(g)
	p.onDisk, errs[7] = n.cacheDisk()
	p.authority, p.challenges, errs[8] = n.certificateAuthority()
	p.asks, errs[9] = clients(n.file)
	p.gossip = newGossip(n)
	n.tickets = newTickets(inStore{n.store}, n.keyring, n.log)
	return p, errors.Join(errs[:]...)
}

func (n *node) doorConfig(p doorParts) edge.Config {
	return edge.Config{
		Functions: p.functions, Lanes: p.rules.Lanes,
		Place: n.self.Region, Node: n.self.Name, Domain: n.file.Domain,
		HTTPS:             netip.AddrPortFrom(n.self.Address, n.self.Ports.HTTPS).String(),
		HTTP:              netip.AddrPortFrom(n.self.Address, n.self.Ports.HTTP).String(),
		Limits:            bounds(n.file),
		HTTP3:             edge.HTTP3{Off: n.file.HTTP3 == "off"},
		Timeouts:          edge.Timeouts{FirstByte: n.file.Limits.Timeout, Drain: n.file.Limits.Drain},
		Cache:             cache.Config{Memory: int64(n.file.Limits.Cache), Disk: p.onDisk},
		Upstream:          edge.Upstream{Hedges: share(n.file.Limits.Hedges)},
		Deduplicated:      n.file.Deduplicates(),
		Landing:           landing(n.file),
		Shield:            n.file.Shield,
		ProxyProtocol:     proxyProtocol(n.file),
		Behaviors:         p.rules.Behaviors,
		Origins:           p.rules.Origins,
		Guard:             p.rules.Guard,
		AccessLog:         p.logged,
		Carriers:          carriers(n.file),
		TLS:               edge.TLS{Policy: n.file.TLS.Policy, Clients: p.asks},
		IgnoreConsistency: os.Getenv(ignoreTokens) == "1",
	}
}

func (n *node) doorDeps(p doorParts) edge.Deps {
	return edge.Deps{
		Map: &n.atlas, Edges: n.countEdges, Geo: p.where, Store: p.stores.Snapshot,
		Dial: n.dialGateway, DialShield: n.dialShield, RTT: n.rttTo, Tell: p.gossip.tell,
		Certs: n.shelf.certs, Challenges: p.challenges, Tickets: n.tickets.now,
		Verify: n.verify, Key: p.key.use, TokenKeys: n.sealsTokens,
		Invalidated: n.purging.invalidated, Horizon: n.purging.horizon, Recent: n.purging.recent, After: n.purging.after,
		Sockets: n.handing.sockets,
		Log:     n.log, Metrics: n.tele.Metrics, Tracer: n.tele.Tracer,
	}
}

// addFollowers adds what keeps a door's parts as the world has them.
func (n *node) addFollowers(g *lifecycle.Group, p doorParts) {
	g.Add("edge key", func(ctx context.Context, ready func()) error { return p.key.run(ctx, n, ready) })
	g.Add("rumours", p.gossip.run)
	if p.where != nil {
		g.Add("geo", p.where.Run)
	}
	g.Add("tickets", n.tickets.run)
	g.Add("staples", n.shelf.staple)
	if p.asks.Trust != nil {
		r := &revocations{trust: p.asks.Trust, crl: n.file.TLS.Clients.CRL, store: inStore{n.store}, log: n.log.With("hop", "edge"), now: time.Now}
		g.Add("revocations", r.run)
	}
}

// rulesOf returns what of a file a running edge takes.
func rulesOf(f *config.File) (edge.Rules, error) {
	beside, err := origins(f)
	if err != nil {
		return edge.Rules{}, err
	}
	groups, err := keyGroups(f)
	if err != nil {
		return edge.Rules{}, err
	}
	walls, err := firewalls(f)
	if err != nil {
		return edge.Rules{}, err
	}
	functions, err := edgeFunctions(f)
	if err != nil {
		return edge.Rules{}, err
	}
	named, err := lanes(f)
	if err != nil {
		return edge.Rules{}, err
	}
	return edge.Rules{Behaviors: behaviors(f, groups, walls), Origins: beside, Guard: guard(f), Functions: functions.Functions, Lanes: named}, nil
}

// edgeRules are the keys of the file of which a running edge takes new values.
var edgeRules = []string{
	"behaviors", "origins", "cachePolicies", "originRequestPolicies", "responseHeadersPolicies", "trustedKeys", "keyGroups",
	"guard", "rateLimits", "edgeFunctions", "dynamicOrigins",
}

// share returns a percentage as the edge takes it, to whom 0 is the default and
// less is none.
func share(percent int) float64 {
	if percent == 0 {
		return -1
	}
	return float64(percent) / 100
}

// ignoreTokens switches guarantee 1 off, for the test that must then fail.
const ignoreTokens = "MERIDIAN_TEST_IGNORE_CONSISTENCY"

func (n *node) dialGateway(ctx context.Context, region meridian.Region) (net.Conn, error) {
	o, err := nodeOf(n.world(), config.RoleRegion, region)
	if err != nil {
		return nil, err
	}
	return n.backbone.Dial(ctx, o.Name, "gateway")
}

// rttTo returns the round trip to a region as this node measured it.
func (n *node) rttTo(region meridian.Region) (time.Duration, bool) {
	o, err := nodeOf(n.world(), config.RoleRegion, region)
	if err != nil {
		return 0, false
	}
	r, ok := n.backbone.RTT(o.Name)
	return r.P50, ok
}
