package server

import (
	"bytes"
	"context"
	"io"
	"time"

	"meridian/edge/origin"
)

// A gossip carries to the other edges what one edge finds broken, and back.
type gossip struct {
	*hearsay
	hear func(from string, m origin.Rumour)
	out  chan origin.Rumour
}

const (
	// rumourService is the service of the backbone.
	rumourService = "rumour"
	// gossipKept bounds the rumours that wait to be told; more are dropped.
	gossipKept = 64
	// gossipWarm is how often links to edges that are new are asked for.
	gossipWarm = 5 * time.Second
)

func newGossip(n *node) *gossip {
	return &gossip{hearsay: newHearsay(n, rumourService), out: make(chan origin.Rumour, gossipKept)}
}

// tell never blocks.
func (g *gossip) tell(m origin.Rumour) {
	select {
	case g.out <- m:
	default:
	}
}

func (g *gossip) run(ctx context.Context, ready func()) error {
	defer g.listen(ctx, g.read)()
	tick := time.NewTicker(gossipWarm)
	defer tick.Stop()
	g.hearsay.tell(ctx, nil)
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.hearsay.tell(ctx, nil)
		case m := <-g.out:
			var b bytes.Buffer
			origin.WriteRumour(&b, m) // to memory
			g.hearsay.tell(ctx, b.Bytes())
		}
	}
}

func (g *gossip) read(from string, r io.Reader) error {
	m, err := origin.ReadRumour(r)
	if err == nil {
		g.log.Info("rumour", "from", from, "region", m.Region, "by", string(m.By), "why", m.Why)
		g.hear(from, m)
	}
	return err
}
