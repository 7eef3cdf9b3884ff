package gateway_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/gateway"
	"meridian/gateway/placement"
	"meridian/topology"
)

// atlas is a map of two regions, of which us-east-1 is the primary's.
func atlas(change func(primary *topology.Region)) *topology.Map {
	s := &topology.Snapshot{
		Regions: []topology.Region{{Name: "us-east-1", Primary: true, Healthy: true}, {Name: "eu-west-1", Healthy: true}},
		Links:   []topology.Link{{From: "eu-west-1", To: "us-east-1", RTT: 70 * time.Millisecond}},
	}
	if change != nil {
		change(&s.Regions[0])
	}
	m := &topology.Map{}
	m.Publish(s)
	return m
}

// A pair is a gateway in eu-west-1 that places everything with the one in
// us-east-1, over HTTP/2, unless a test says otherwise.
type pair struct {
	home, primary *world
	way           http.RoundTripper            // to the primary's gateway
	sent          atomic.Pointer[http.Request] // the last on the way
	deaf          bool                         // answers are lost on the way
}

func newPair(t *testing.T, home, primary *functions, change func(*gateway.Config, *gateway.Deps)) *pair {
	t.Helper()
	p := &pair{}
	p.primary = newWorld(t, primary, func(c *gateway.Config, d *gateway.Deps) {
		c.Region, d.Map, d.Forward = "us-east-1", atlas(nil), nowhere
		if change != nil {
			change(c, d)
		}
		c.Region, c.Placement = "us-east-1", ""
	})
	p.way = dial(t, p.primary.Inner())
	p.home = newWorld(t, home, func(c *gateway.Config, d *gateway.Deps) {
		c.Placement, d.Map = placement.Primary, atlas(nil)
		d.Forward = func(context.Context, meridian.Region) (http.RoundTripper, error) { return p, nil }
		if change != nil {
			change(c, d)
		}
	})
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *pair) RoundTrip(r *http.Request) (*http.Response, error) {
	p.sent.Store(r)
	resp, err := p.way.RoundTrip(r)
	if err == nil && p.deaf {
		resp.Body.Close()
		return nil, errors.New("the connection broke")
	}
	return resp, err
}

func nowhere(context.Context, meridian.Region) (http.RoundTripper, error) {
	return nil, errors.New("there is no other region")
}

// dial serves a handler as the backbone does and returns one connection to it.
func dial(t *testing.T, h http.Handler) http.RoundTripper {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	tr := &http.Transport{Protocols: srv.Config.Protocols, DisableCompression: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}}
	c, err := tr.NewClientConn(t.Context(), "http", "us-east-1:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
