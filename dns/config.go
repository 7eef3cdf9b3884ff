package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/topology"
)

// Config is what an operator may say of the name server.
type Config struct {
	Domain string   // the zone
	Listen []string // host:port, each for UDP and TCP; port 0 picks one port for both
	// TTL is of answers that depend on health and on who asks, in seconds: how
	// long a client may go on to a lost edge. Zero means 5.
	TTL uint32
	// ALPN names what the edges speak, the best first, for HTTPS records. Empty
	// means h3 and h2; HTTP/1.1 goes without saying (RFC 9460, section 7.1.2).
	ALPN []string
	// Addresses are what ns1.<domain> resolves to. Empty means the addresses of
	// Listen that name one interface.
	Addresses []netip.Addr
	// Connections bounds the TCP connections open at once. Zero means 256.
	Connections int
	// Idle ends a TCP connection that sends no query for so long. Zero means 10s
	// (RFC 7766, section 6.2.3 wants seconds).
	Idle time.Duration
}

// Sockets opens sockets; net.ListenConfig is one. Its packet connections are
// *net.UDPConn.
type Sockets interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// Deps is what the program provides.
type Deps struct {
	Map *topology.Map
	// Texts returns what a certificate authority asks to see at a name, now; nil
	// knows of none.
	Texts func(name string) []string
	// Sockets opens what is listened on, or finds what was handed over; nil means
	// net.ListenConfig.
	Sockets Sockets
	Log     *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil keeps them to itself
}

// fill returns c with its defaults in place of zeros.
func (c Config) fill() (Config, error) {
	if c.TTL == 0 {
		c.TTL = 5
	}
	if len(c.ALPN) == 0 {
		c.ALPN = []string{"h3", "h2"}
	}
	if c.Connections == 0 {
		c.Connections = 256
	}
	if c.Idle == 0 {
		c.Idle = 10 * time.Second
	}
	if len(c.Listen) == 0 {
		return c, fmt.Errorf("no address to listen on")
	}
	for _, l := range c.Listen {
		a, err := netip.ParseAddrPort(l)
		if err != nil {
			return c, fmt.Errorf("listen on %q: want an address and a port: %w", l, err)
		}
		if !a.Addr().IsUnspecified() && len(c.Addresses) < len(c.Listen) {
			c.Addresses = append(c.Addresses, a.Addr().Unmap())
		}
	}
	return c, nil
}
