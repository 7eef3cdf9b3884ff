package server

import (
	"context"
	"net"
	"slices"

	"meridian"
	"meridian/backbone"
	"meridian/config"
	"meridian/internal/lifecycle"
	"meridian/internal/relay"
	"meridian/internal/sockdir"
	"meridian/postgres"
	"meridian/postgres/instance"
)

// Services of the backbone between a region's node and its further standbys.
const (
	serviceCascade = "pgcascade" // of the region's node: replication from its PostgreSQL, whatever that is at the time
	serviceReads   = "pgread"    // of a standby's node: connections to its PostgreSQL
)

// addStandby adds a further PostgreSQL standby of this node's region, which the
// region's proxy reads from. Nothing else runs beside it.
func (n *node) addStandby(g *lifecycle.Group) error {
	if err := checkTheirs(n.file); err != nil {
		return err
	}
	sockets, err := sockdir.For(n.cfg.State)
	if err != nil {
		return err
	}
	db := n.file.Database
	pg, err := instance.New(instance.Config{
		Region: n.self.Region, Further: n.self.Name, Dir: databaseIn(n.cfg.State), SocketDir: sockets,
		Database: db.Name, MaxConnections: db.MaxConnections,
		Outlive: n.leash == nil,
	}, instance.Deps{Upstream: n.dialOwn, Log: n.log, Metrics: n.tele.Metrics})
	if err != nil {
		return err
	}
	n.leavePG = pg.Leave
	readers := n.backbone.Listener(serviceReads)
	g.Add("postgres", func(ctx context.Context, ready func()) error { return pg.Run(ctx, instance.Standby, ready) })
	g.Add("reads", func(ctx context.Context, ready func()) error {
		ready()
		relay.Serve(ctx, only{readers, n.servesOwn}, pg.Dial, nil)
		return nil
	})
	return nil
}

// readers returns the ways to the further standbys of this node's region.
func (n *node) readers() (out []postgres.Standby) {
	for _, name := range standbysOf(n.file, n.self.Region) {
		out = append(out, postgres.Standby{Name: name, Dial: func(ctx context.Context) (net.Conn, error) {
			return n.backbone.Open(ctx, name, serviceReads)
		}})
	}
	return out
}

// lender returns the way to a further standby from which lost data is copied: the
// first that answers. Nil: there is none.
func (n *node) lender() func(context.Context) (net.Conn, error) {
	names := standbysOf(n.file, n.self.Region)
	if len(names) == 0 {
		return nil
	}
	return func(ctx context.Context) (c net.Conn, err error) {
		for _, name := range names {
			if c, err = n.backbone.Dial(ctx, name, serviceReads); err == nil {
				break
			}
		}
		return c, err
	}
}

// dialOwn opens a connection to the PostgreSQL of this standby's region, for
// replication. There is no term in it: what that one follows, this one does.
func (n *node) dialOwn(ctx context.Context, _ uint64) (net.Conn, error) {
	o, err := nodeOf(n.world(), config.RoleRegion, n.self.Region)
	if err != nil {
		return nil, err
	}
	return n.backbone.Dial(ctx, o.Name, serviceCascade)
}

// servesOwn reports whether a node serves this node's region: PostgreSQL asks
// who comes through its socket for no password.
func (n *node) servesOwn(name string) bool {
	o, ok := n.world().Node(name)
	return ok && o.Region == n.self.Region && o.Has(config.RoleRegion)
}

// standsByOwn reports whether a node is a further standby of this node's region.
func (n *node) standsByOwn(name string) bool {
	return slices.Contains(standbysOf(n.world(), n.self.Region), name)
}

// standbysOf names the nodes of a region's further standbys.
func standbysOf(f *config.File, region meridian.Region) (out []string) {
	for _, o := range f.Nodes {
		if o.Region == region && o.Has(config.RoleStandby) {
			out = append(out, o.Name)
		}
	}
	return out
}

// Only is a listener that takes connections of some nodes.
type only struct {
	net.Listener
	from func(node string) bool
}

// Accept closes what comes from others.
func (l only) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.from(backbone.NodeOf(c)) {
			return c, err
		}
		c.Close()
	}
}

// serveFurther carries the connections of this region's further standbys.
func (s *steward) serveFurther(ctx context.Context, l net.Listener, ready func()) error {
	s.further.admit(true)
	ready()
	s.further.run(ctx, l)
	return nil
}
