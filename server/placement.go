package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"

	"meridian"
	"meridian/edge/origin"
	"meridian/gateway"
	"meridian/internal/lifecycle"
	"meridian/topology"
)

// A crossing is a gateway's way to the gateways of the other regions: the same
// warm connections that edges keep, on which net/http never repeats a request.
// They stand before the primary moves to a region.
type crossing struct {
	self   meridian.Region
	world  *topology.Map
	others topology.Map // the world without this region
	origin *origin.Origin
}

// crossingConnections are kept to each region, so that one large body does not
// hold up all requests.
const crossingConnections = 2

func newCrossing(self meridian.Region, world *topology.Map, dial func(context.Context, meridian.Region) (net.Conn, error)) *crossing {
	c := &crossing{self: self, world: world}
	c.origin = origin.New(origin.Config{Place: self, Connections: crossingConnections}, origin.Deps{Map: &c.others, Dial: dial})
	return c
}

// to is a gateway.Forwarder. There is a way only while a connection is up: what
// would have to wait for one is better off at home.
func (c *crossing) to(_ context.Context, r meridian.Region) (http.RoundTripper, error) {
	switch s, why := c.origin.State(r); s {
	case origin.Broken:
		return nil, meridian.WithKind(meridian.Unavailable, errors.New("it failed a moment ago: "+why))
	case origin.Cold:
		return nil, meridian.WithKind(meridian.Unavailable, errors.New("not connected yet"))
	}
	return ferry{c.origin, r}, nil
}

// A ferry takes requests to one region.
type ferry struct {
	origin *origin.Origin
	region meridian.Region
}

// RoundTrip implements http.RoundTripper.
func (f ferry) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.origin.RoundTrip(req, origin.Trip{Region: f.region})
	var e *origin.Error
	if errors.As(err, &e) && e.Sent == origin.Unsent {
		err = &gateway.Unsent{Err: err}
	}
	return resp, err
}

// run keeps the connections.
func (c *crossing) run(ctx context.Context, ready func()) error {
	var g lifecycle.Group
	g.Add("map of the others", c.follow)
	g.Add("connections", c.origin.Run)
	g.Add("ready", func(ctx context.Context, up func()) error {
		up()
		ready()
		<-ctx.Done()
		return nil
	})
	return g.Run(ctx)
}

// follow keeps the map of the others.
func (c *crossing) follow(ctx context.Context, ready func()) error {
	var last *topology.Snapshot
	return lifecycle.Every(ctx, redraw, ready, func() { last = c.publish(last) })
}

// publish publishes the newest map if it is not the last one.
func (c *crossing) publish(last *topology.Snapshot) *topology.Snapshot {
	now := c.world.Now()
	if now == last {
		return now
	}
	others := *now
	others.Regions = slices.DeleteFunc(slices.Clone(now.Regions), func(r topology.Region) bool { return r.Name == c.self })
	c.others.Publish(&others)
	return now
}
