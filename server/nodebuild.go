package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"meridian"
	"meridian/backbone"
	"meridian/config"
	"meridian/health"
	"meridian/identity"
	"meridian/internal/leash"
	"meridian/internal/lifecycle"
	"meridian/internal/pki"
	"meridian/telemetry"
)

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
