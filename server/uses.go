package server

import (
	"bytes"
	"context"
	"io"
	"time"

	"meridian/config"
	"meridian/edge/limit"
)

// A uses tells the other edges what clients with a rate limit used at this one,
// and hears what they used there. An edge that cannot be reached in time does
// not hear it: it then lets in what its own count allows.
type uses struct {
	*hearsay
	limiter
}

const (
	// usesService is the service of the backbone.
	usesService = "uses"
	// usesEvery is how long an edge collects what it tells.
	usesEvery = 100 * time.Millisecond
)

// A limiter is an edge that counts.
type limiter interface {
	Uses() []limit.Use
	HearUses([]limit.Use)
}

func newUses(n *node, l limiter) *uses { return &uses{newHearsay(n, usesService), l} }

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
	defer u.listen(ctx, u.read)()
	ready()
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if batch := u.Uses(); len(batch) > 0 {
				var b bytes.Buffer
				limit.WriteUses(&b, batch) // to memory
				u.tell(ctx, b.Bytes())
			}
		}
	}
}

func (u *uses) read(_ string, r io.Reader) error {
	batch, err := limit.ReadUses(r)
	if err == nil {
		u.HearUses(batch)
	}
	return err
}
