package server

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"meridian/backbone"
	"meridian/config"
	"meridian/edge/origin"
)

// A gossip carries to the other edges what one edge finds broken, and back: one
// short stream for each rumour, on links that are kept warm, so that it takes
// half a round trip.
type gossip struct {
	listener net.Listener
	open     func(ctx context.Context, node string) (net.Conn, error)
	from     func(net.Conn) string
	edges    func() []string // the other edges
	hear     func(from string, m origin.Rumour)
	log      *slog.Logger

	out chan origin.Rumour
}

const (
	// gossipKept bounds the rumours that wait to be told; more are dropped.
	gossipKept = 64
	// gossipLimit bounds the telling and the reading of one.
	gossipLimit = 2 * time.Second
	// gossipWarm is how often links to edges that are new are asked for.
	gossipWarm = 5 * time.Second
	// gossipReaders bounds the rumours that are read at once.
	gossipReaders = 64
)

func newGossip(n *node) *gossip {
	return &gossip{
		listener: n.backbone.Listener(rumourService), from: backbone.NodeOf, edges: n.otherEdges, log: n.log, out: make(chan origin.Rumour, gossipKept),
		open: func(ctx context.Context, node string) (net.Conn, error) {
			return n.backbone.Open(ctx, node, rumourService)
		},
	}
}

// rumourService is the service of the backbone.
const rumourService = "rumour"

func (n *node) otherEdges() (out []string) {
	for _, o := range n.world().Nodes {
		if o.Name != n.self.Name && o.Has(config.RoleEdge) {
			out = append(out, o.Name)
		}
	}
	return out
}

// tell never blocks.
func (g *gossip) tell(m origin.Rumour) {
	select {
	case g.out <- m:
	default:
	}
}

func (g *gossip) run(ctx context.Context, ready func()) error {
	defer context.AfterFunc(ctx, func() { g.listener.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { g.listen(ctx, &wg) })
	tick := time.NewTicker(gossipWarm)
	defer tick.Stop()
	g.all(ctx, &wg, nil)
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.all(ctx, &wg, nil)
		case m := <-g.out:
			g.all(ctx, &wg, &m)
		}
	}
}

// all tells every other edge of m; without one it has the links made.
func (g *gossip) all(ctx context.Context, wg *sync.WaitGroup, m *origin.Rumour) {
	for _, edge := range g.edges() {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, gossipLimit)
			defer cancel()
			c, err := g.open(ctx, edge)
			if err != nil {
				return // an edge that is not there needs no rumours
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(gossipLimit))
			if m != nil {
				origin.WriteRumour(c, *m) // one that is lost is one that the other finds out by itself
			}
		})
	}
}

// listen takes what other edges say.
func (g *gossip) listen(ctx context.Context, wg *sync.WaitGroup) {
	readers := make(chan struct{}, gossipReaders)
	for {
		c, err := g.listener.Accept()
		if err != nil {
			return
		}
		select {
		case readers <- struct{}{}:
		case <-ctx.Done():
			c.Close()
			return
		}
		wg.Go(func() {
			defer func() { c.Close(); <-readers }()
			c.SetDeadline(time.Now().Add(gossipLimit))
			from := g.from(c)
			if !slices.Contains(g.edges(), from) {
				return
			}
			if m, err := origin.ReadRumour(c); err == nil {
				g.log.Info("rumour", "from", from, "region", m.Region, "by", string(m.By), "why", m.Why)
				g.hear(from, m)
			}
		})
	}
}
