package backbone

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
)

// Config is what an operator says about a node's end of the backbone.
type Config struct {
	Node   string          // this node's name
	Place  meridian.Region // where it stands
	Listen string          // host:port; connections to others come from this host too
}

// Deps is what the program provides.
type Deps struct {
	Cert  tls.Certificate // names this node as pki.NodeURI does
	Roots *x509.CertPool  // the installation's authority, alone
	Peers []Peer          // all other nodes
	Links *Links          // simulated delays and faults; nil means none at all
	Log   *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// Listener is listened on instead of Config.Listen, unless it is nil.
	Listener net.Listener
	// Open makes the socket to listen on, or finds one that was handed over; nil
	// means net.ListenConfig.
	Open func(ctx context.Context, network, address string) (net.Listener, error)
	// DialTCP replaces the dialer of TCP connections, unless it is nil.
	DialTCP func(ctx context.Context, addr string) (net.Conn, error)
}

// A Peer is another node.
type Peer struct {
	Node  string
	Place meridian.Region
	Addr  string // host:port
}

// Times of the backbone.
const (
	// slack is what dialing may take beyond its round trips.
	slack = time.Second
	// unknownRTT stands for a round trip that was never measured.
	unknownRTT = 500 * time.Millisecond
	// handshakeTimeout bounds how long a stranger holds an accepted connection.
	handshakeTimeout = 5 * time.Second
	// A link is dead if a ping is not answered in deadAfter. It is pinged when
	// data was sent and nothing came back for a keepalive, so that who waits
	// knows in 2 to 3 s, and when it was idle, so that anyone knows in 5.
	keepalive = 500 * time.Millisecond
	idlePing  = 2 * time.Second
	deadAfter = 2 * time.Second
	// A link that is down is dialed again after a pause that doubles from
	// the first to the last; an Open cuts it short.
	firstPause, lastPause = 50 * time.Millisecond, time.Second
)

const (
	// streamWindow lets one stream carry 40 MB/s over 400 ms.
	streamWindow = 16 << 20
	// streamBacklog bounds the streams that were opened and not yet accepted.
	streamBacklog = 4096
	// maxHandshakes bounds the strangers that are served at once.
	maxHandshakes = 256
)
