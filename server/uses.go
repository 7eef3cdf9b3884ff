package server

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"meridian/backbone"
	"meridian/config"
	"meridian/edge/limit"
)

// A uses tells the other edges what clients with a rate limit used at this one,
// and hears what they used there: one short stream a batch, on the links that
// rumours keep warm.
type uses struct {
	listener net.Listener
	open     func(ctx context.Context, node string) (net.Conn, error)
	from     func(net.Conn) string
	edges    func() []string // the other edges
	take     func() []limit.Use
	hear     func([]limit.Use)
	log      *slog.Logger
}

const (
	// usesService is the service of the backbone.
	usesService = "uses"
	// usesEvery is how long an edge collects what it tells.
	usesEvery = 100 * time.Millisecond
	// usesLimit bounds the telling and the reading of one batch.
	usesLimit = 2 * time.Second
	// usesAtOnce bounds the batches on their way to all, and those that are read.
	usesAtOnce = 64
)

// A limiter is an edge that counts.
type limiter interface {
	Uses() []limit.Use
	HearUses([]limit.Use)
}

func newUses(n *node, l limiter) *uses {
	return &uses{
		listener: n.backbone.Listener(usesService), from: backbone.NodeOf, edges: n.otherEdges, take: l.Uses, hear: l.HearUses, log: n.log,
		open: func(ctx context.Context, node string) (net.Conn, error) {
			return n.backbone.Open(ctx, node, usesService)
		},
	}
}

// countEdges counts the edges of the world, at each request with a limit.
func (n *node) countEdges() (count int) {
	nodes := n.world().Nodes
	for i := range nodes {
		if nodes[i].Has(config.RoleEdge) {
			count++
		}
	}
	return count
}

func (u *uses) run(ctx context.Context, ready func()) error {
	defer context.AfterFunc(ctx, func() { u.listener.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { u.listen(ctx, &wg) })
	ready()
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	going := make(chan struct{}, usesAtOnce)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if batch := u.take(); len(batch) > 0 {
				u.tell(ctx, &wg, going, batch)
			}
		}
	}
}

// tell sends a batch to every other edge. One that cannot be reached in time
// does not hear it: it then lets in what its own count allows.
func (u *uses) tell(ctx context.Context, wg *sync.WaitGroup, going chan struct{}, batch []limit.Use) {
	var b bytes.Buffer
	limit.WriteUses(&b, batch) // to memory
	for _, edge := range u.edges() {
		select {
		case going <- struct{}{}:
		default:
			continue // as many are on their way already
		}
		wg.Go(func() {
			defer func() { <-going }()
			ctx, cancel := context.WithTimeout(ctx, usesLimit)
			defer cancel()
			c, err := u.open(ctx, edge)
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(usesLimit))
			c.Write(b.Bytes())
		})
	}
}

// listen takes what other edges tell.
func (u *uses) listen(ctx context.Context, wg *sync.WaitGroup) {
	readers := make(chan struct{}, usesAtOnce)
	for {
		c, err := u.listener.Accept()
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
			c.SetDeadline(time.Now().Add(usesLimit))
			from := u.from(c)
			if !slices.Contains(u.edges(), from) {
				return
			}
			batch, err := limit.ReadUses(c)
			if err != nil {
				u.log.Debug("what another edge let in could not be read", "from", from, "error", err)
				return
			}
			u.hear(batch)
		})
	}
}
