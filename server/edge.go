package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/config"
	"meridian/edge"
	"meridian/edge/cache"
	"meridian/identity"
	"meridian/internal/lifecycle"
)

// addEdge adds the door.
func (n *node) addEdge(g *lifecycle.Group) error {
	stores, err := n.addKVS(g)
	if err != nil {
		return err
	}
	functions, err := edgeFunctions(n.file)
	if err != nil {
		return err
	}
	key, err := n.edgeKey()
	if err != nil {
		return err
	}
	beside, err := origins(n.file)
	if err != nil {
		return err
	}
	trusted, err := keyGroups(n.file)
	if err != nil {
		return err
	}
	walls, err := firewalls(n.file)
	if err != nil {
		return err
	}
	where, err := places(n.file, n.log)
	if err != nil {
		return err
	}
	logged, err := n.accessLog()
	if err != nil {
		return err
	}
	gossip := newGossip(n)
	n.tickets = newTickets(inStore{n.store}, n.keyring, n.log)
	if err := n.addPurges(g); err != nil {
		return err
	}
	p := n.purging
	onDisk, err := n.cacheDisk()
	if err != nil {
		return err
	}
	authority, challenges, err := n.certificateAuthority()
	if err != nil {
		return err
	}
	asks, err := clients(n.file)
	if err != nil {
		return err
	}
	door, err := edge.New(edge.Config{
		Functions: functions, Lanes: lanes(n.file),
		Place: n.self.Region, Node: n.self.Name, Domain: n.file.Domain,
		HTTPS:             netip.AddrPortFrom(n.self.Address, n.self.Ports.HTTPS).String(),
		HTTP:              netip.AddrPortFrom(n.self.Address, n.self.Ports.HTTP).String(),
		Limits:            bounds(n.file),
		HTTP3:             edge.HTTP3{Off: n.file.HTTP3 == "off"},
		Timeouts:          edge.Timeouts{FirstByte: n.file.Limits.Timeout},
		Cache:             cache.Config{Memory: int64(n.file.Limits.Cache), Disk: onDisk},
		Upstream:          edge.Upstream{Hedges: share(n.file.Limits.Hedges)},
		Deduplicated:      n.file.Deduplicates(),
		Landing:           landing(n.file),
		Shield:            n.file.Shield,
		ProxyProtocol:     proxyProtocol(n.file),
		Behaviors:         behaviors(n.file, trusted, walls),
		Origins:           beside,
		Guard:             guard(n.file),
		AccessLog:         logged,
		Carriers:          carriers(n.file),
		TLS:               edge.TLS{Policy: n.file.TLS.Policy, Clients: asks},
		IgnoreConsistency: os.Getenv(ignoreTokens) == "1",
	}, edge.Deps{
		Store: stores.Snapshot,
		Map:   &n.atlas, Dial: n.dialGateway, RTT: n.rttTo, Certs: n.shelf.certs, Verify: n.verify, Key: key.use, TokenKeys: n.sealsTokens, Tell: gossip.tell,
		Geo:        where,
		Edges:      n.countEdges,
		Challenges: challenges, Tickets: n.tickets.now,
		DialShield: n.dialShield, Invalidated: p.invalidated, Horizon: p.horizon, Recent: p.recent, After: p.after,
		Sockets: n.handing.sockets,
		Log:     n.log, Metrics: n.tele.Metrics, Tracer: n.tele.Tracer,
	})
	if err != nil {
		return err
	}
	n.handing.door = door
	g.Add("edge key", func(ctx context.Context, ready func()) error { return key.run(ctx, n, ready) })
	gossip.hear = door.Hear
	n.takes("edge", edgeRules, func(f *config.File) (func(), error) {
		rules, err := rulesOf(f)
		if err != nil {
			return nil, err
		}
		return door.Prepare(rules)
	})
	n.addRollouts(g, door)
	g.Add("rumours", gossip.run)
	if where != nil {
		g.Add("geo", where.Run)
	}
	if len(n.file.RateLimits) > 0 {
		g.Add("uses", newUses(n, door).run)
	}
	n.addPurged(g, door.Purge)
	g.Add("tickets", n.tickets.run)
	g.Add("staples", n.shelf.staple)
	if asks.Trust != nil {
		r := &revocations{trust: asks.Trust, crl: n.file.TLS.Clients.CRL, store: inStore{n.store}, log: n.log.With("hop", "edge"), now: time.Now}
		g.Add("revocations", r.run)
	}
	g.Add("edge", door.Run)
	addAuthority(g, authority)
	n.addShield(g, door.Inner())
	return nil
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
	return edge.Rules{Behaviors: behaviors(f, groups, walls), Origins: beside, Guard: guard(f), Functions: functions.Functions, Lanes: lanes(f)}, nil
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

// An edgeKey is what this edge seals identities with. It is used only once the
// store is seen to have it: a region could not open a seal that it never heard
// of, and verifies the original credential until then.
type edgeKey struct {
	record edgeKeyRecord
	known  atomic.Bool
}

// edgeKey reads this node's key from its folder, or makes one.
func (n *node) edgeKey() (*edgeKey, error) {
	path := filepath.Join(n.cfg.State, "edge.key")
	k := &edgeKey{}
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &k.record) == nil && len(k.record.Secret) > 0 {
		return k, nil
	}
	fresh := identity.NewEdgeKey(fmt.Sprintf("%s#%d", n.self.Name, time.Now().Unix()))
	k.record = edgeKeyRecord{ID: fresh.ID, Node: n.self.Name, Secret: fresh.Secret, Created: time.Now().UTC()}
	if err := os.WriteFile(path, mustJSON(k.record), 0o600); err != nil {
		return nil, fmt.Errorf("key of the edge: %w", err)
	}
	return k, nil
}

// use returns the key, or the zero key while regions may not know it.
func (k *edgeKey) use() identity.EdgeKey {
	if !k.known.Load() {
		return identity.EdgeKey{}
	}
	return identity.EdgeKey{ID: k.record.ID, Secret: k.record.Secret}
}

// edgeKeyRetry is how long the edge waits before it tells its key again.
const edgeKeyRetry = time.Second

// run puts the key into the store, and keeps at it.
func (k *edgeKey) run(ctx context.Context, n *node, ready func()) error {
	ready()
	want := string(mustJSON(k.record))
	for {
		watch := n.store.Watch()
		e, ok := n.store.Now().Get(edgeKeyPrefix + k.record.ID)
		k.known.Store(ok && string(e.Value) == want)
		retry := time.NewTimer(edgeKeyRetry)
		if !k.known.Load() {
			if err := n.store.Put(ctx, edgeKeyPrefix+k.record.ID, []byte(want)); err == nil {
				retry.Reset(0)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-retry.C:
		}
	}
}
