package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/edge/cache"
	"meridian/edge/purge"
	"meridian/internal/lifecycle"
	"meridian/store"
)

// purgePrefix is the key of the store, before a node's name, that holds the
// purge.Log of what that node took.
const purgePrefix = "purges/"

// A purging is a node's part in purges: it sends what it is asked for, and, at an
// edge, applies what others send and what the log has.
type purging struct {
	self   string
	store  ledger
	log    *slog.Logger
	now    func() time.Time
	sender *purge.Sender

	applied *purge.Applied // nil without a cache here
	sure    atomic.Pointer[time.Time]

	kept string // the file that the positions are kept in; "": the cache ends with the process

	mu      sync.Mutex // guards what follows, and reading the log
	read    map[string]purge.Position
	written map[string]purge.Position // of it, to kept
}

// A ledger is what purges need of the store.
type ledger interface {
	View() interface {
		entry
		entries
	}
	Watch() <-chan struct{}
	Sync(context.Context) error
	CompareAndSwap(ctx context.Context, key string, oldRev int64, value []byte) (bool, error)
}

// inStore is the ledger of a node.
type inStore struct{ store.Store }

// View implements ledger.
func (s inStore) View() interface {
	entry
	entries
} {
	return s.Now()
}

// newPurging returns the part of a node that reaches others by w.
func newPurging(self string, s ledger, edges func() []string, w *ways, log *slog.Logger, reg prometheus.Registerer) (*purging, error) {
	p := &purging{self: self, store: s, log: log, now: time.Now, read: map[string]purge.Position{}}
	sender, err := purge.NewSender(purge.Config{}, purge.Deps{
		Edges: edges, Keep: p.keep,
		Tell: func(ctx context.Context, node string, ps []cache.Purge) ([]int, error) {
			if node == p.self && p.applied != nil {
				return p.applied.Apply(ps), nil
			}
			return w.tell(ctx, node, ps)
		},
		Log: log.With("hop", "purge"), Metrics: reg,
	})
	p.sender = sender
	return p, err
}

// addPurges adds this node's part in purges, once.
func (n *node) addPurges(g *lifecycle.Group) error {
	if n.purging != nil {
		return nil
	}
	w := newWays(n.backbone.Open)
	p, err := newPurging(n.self.Name, inStore{n.store}, n.edgeNodes, w, n.log, n.tele.Metrics)
	if err != nil {
		return err
	}
	g.Add("purges", func(ctx context.Context, ready func()) error {
		var warming sync.WaitGroup
		defer warming.Wait()
		if n.self.Has(config.RoleControl) {
			warming.Go(func() { w.warm(ctx, n.edgeNodes) })
		}
		return p.sender.Run(ctx, ready)
	})
	n.purging = p
	return nil
}

// addPurged adds what an edge does with the purges of others; remove takes
// objects out of its cache.
func (n *node) addPurged(g *lifecycle.Group, remove func(cache.Purge) int) {
	p := n.purging
	p.applied = purge.NewApplied(remove, p.now)
	l := n.backbone.Listener("purge")
	g.Add("log of purges", p.follow)
	g.Add("log of purges, seen", p.makeSure)
	g.Add("purges of others", func(ctx context.Context, ready func()) error { return servePurges(ctx, l, p.applied.Apply, ready) })
}

// edgeNodes names the nodes that have a cache.
func (n *node) edgeNodes() (out []string) {
	for _, o := range n.world().Nodes {
		if o.Has(config.RoleEdge) {
			out = append(out, o.Name)
		}
	}
	return out
}

// purge does what an operator asks for.
func (n *node) purge(ctx context.Context, asked client.Purge) (client.Purged, error) {
	order := purge.Order{ID: asked.ID, Items: asked.Items, Host: asked.Host, Everything: asked.Everything, Soft: asked.Soft}
	if order.ID == "" {
		order.ID = purge.NewID()
	}
	if asked.Wait < 0 || asked.Wait > client.MaxPurgeWait {
		return client.Purged{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("purge: wait %v: expected at most %v", asked.Wait, client.MaxPurgeWait))
	}
	ps, err := order.Purges(time.Now().UTC())
	if err != nil {
		return client.Purged{}, err
	}
	o := n.purging.sender.Purge(ctx, ps, asked.Wait)
	out := client.Purged{ID: order.ID, Everywhere: o.Done(), Kept: o.Kept, Took: o.Took, Edges: []client.PurgedEdge{}}
	for _, r := range o.Edges {
		out.Edges = append(out.Edges, client.PurgedEdge{Edge: string(n.placeOf(r.Node)), Done: r.Done, Objects: r.Objects, Took: r.Took, Why: r.Why})
	}
	return out, nil
}

// keepTries bounds how often a log is written that somebody else changes: only a
// former start of this node can.
const keepTries = 5

// keep puts purges into this node's log.
func (p *purging) keep(ctx context.Context, ps []cache.Purge) error {
	key := purgePrefix + p.self
	for range keepTries {
		var was purge.Log
		e, _ := p.store.View().Get(key)
		if len(e.Value) > 0 && json.Unmarshal(e.Value, &was) != nil {
			was = purge.Log{} // it begins anew, and whoever reads it knows that
		}
		next := was.With(ps, p.now().UTC())
		if next.Next == was.Next {
			return nil // all are there
		}
		if ok, err := p.store.CompareAndSwap(ctx, key, e.Rev, mustJSON(next)); ok || err != nil {
			return err
		}
	}
	return meridian.WithKind(meridian.Unavailable, fmt.Errorf("the log of purges at %s kept changing", key))
}

// begin takes all that the log has now for known: the cache is empty. One that
// is not, since it outlived the process before this one, knows what that had read.
func (p *purging) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept != "" {
		p.resume()
		return
	}
	each(p.store.View(), purgePrefix, p.log, func(node string, l purge.Log) { p.read[node] = l.Position() })
}

// catchUp applies what the log has and this edge has not applied. What it cannot
// know, since the log has forgotten it, may have been anything.
func (p *purging) catchUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	each(p.store.View(), purgePrefix, p.log, func(node string, l purge.Log) {
		seen[node] = true
		missed, more := l.Since(p.read[node])
		if more {
			missed = p.unknown(node)
		}
		p.applied.Apply(missed)
		p.read[node] = l.Position()
	})
	for node := range p.read {
		if !seen[node] {
			delete(p.read, node)
		}
	}
	p.keepPositions()
}

// unknown returns the purge that stands for those of a node that nobody can name
// any more.
func (p *purging) unknown(node string) []cache.Purge {
	p.log.Error("purges were missed that the log no longer has: all that is cached is stale", "of", node)
	return []cache.Purge{{ID: purge.NewID(), Everything: true, Soft: true, At: p.now()}}
}

// follow applies the log as it grows, until ctx is over.
func (p *purging) follow(ctx context.Context, ready func()) error {
	p.begin()
	ready()
	follow(ctx, p.store, 0, p.catchUp)
	return nil
}

// How often an edge makes sure that it knows all of the log, and how long that
// may take. Three in a row fail before purge.Bound is over.
const (
	sureEvery  = 2500 * time.Millisecond
	sureBudget = 2500 * time.Millisecond
)

// makeSure keeps p.sure, until ctx is over.
func (p *purging) makeSure(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(sureEvery)
	defer tick.Stop()
	unsure := false
	for {
		begin := p.now()
		err := p.sync(ctx)
		switch {
		case err == nil:
			p.catchUp()
			p.sure.Store(&begin)
			if unsure {
				unsure = false
				p.log.Info("the log of purges is seen again")
			}
		case !unsure && !p.horizon().IsZero() && ctx.Err() == nil:
			unsure = true
			p.log.Warn("the log of purges is not seen: only what an origin said lately is fresh", "within", purge.Bound, "why", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *purging) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sureBudget)
	defer cancel()
	return p.store.Sync(ctx)
}

// horizon returns the time before which nothing that an origin said is fresh
// here; zero while this edge knows all purges.
func (p *purging) horizon() time.Time {
	var sure time.Time
	if t := p.sure.Load(); t != nil {
		sure = *t
	}
	return purge.Horizon(p.now(), sure)
}

// invalidated tells the others what an unsafe request invalidated here.
func (p *purging) invalidated(x cache.Purge) {
	x.ID, x.At = purge.NewID(), p.now().UTC()
	p.applied.Note(x.ID)
	p.sender.Invalidated(x)
}

// recent names to another edge what this one has purged lately.
func (p *purging) recent() string { return p.applied.Recent() }

// after returns what another edge's recent asks of this one's answers.
func (p *purging) after(recent string) time.Time { return p.applied.After(recent) }

// forgottenLogs returns the keys of the logs of nodes that left.
func forgottenLogs(v *store.View, gone []string) (keys []string) {
	for _, e := range v.Prefix(purgePrefix) {
		if slices.Contains(gone, e.Key[len(purgePrefix):]) {
			keys = append(keys, e.Key)
		}
	}
	return keys
}
