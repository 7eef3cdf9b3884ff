package server

import (
	"context"
	"net"
	"net/http"

	"meridian"
	"meridian/config"
	"meridian/internal/lifecycle"
)

// addShield adds the door for other edges, to whom this one may be the shield.
// It opens after the edge's own, whose ways to the regions it needs.
func (n *node) addShield(g *lifecycle.Group, h http.Handler) {
	l := n.backbone.Listener("shield")
	g.Add("shield", func(ctx context.Context, ready func()) error {
		return serveHTTP(ctx, ready, nodesServer(h, n.file), l, drainOf(n.file))
	})
}

// dialShield makes a connection to the edge at a place.
func (n *node) dialShield(ctx context.Context, place meridian.Region) (net.Conn, error) {
	o, err := nodeOf(n.world(), config.RoleEdge, place)
	if err != nil {
		return nil, err
	}
	return n.backbone.Dial(ctx, o.Name, "shield")
}
