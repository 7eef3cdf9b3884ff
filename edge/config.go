package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"meridian"
	"meridian/edge/accesslog"
	"meridian/edge/cache"
	"meridian/edge/function"
	"meridian/edge/geo"
	"meridian/edge/origin"
	"meridian/edge/pace"
	"meridian/edge/tunnel"
	"meridian/identity"
	"meridian/internal/kv"
	"meridian/topology"
)

// A Config is what an operator may say of an edge. A zero field means its
// default.
type Config struct {
	Place  meridian.Region // where the edge stands
	Node   string          // the node's name, such as eu-west-1/edge
	Domain string          // of the API
	HTTPS  string          // address to listen on, host:port
	HTTP   string          // address of the redirect to HTTPS; "" means none

	Limits   Limits
	Timeouts Timeouts
	TLS      TLS
	HTTP3    HTTP3
	Upstream Upstream
	Landing  Landing

	// Deduplicated says that regions execute once what has an Idempotency-Key, so
	// that it may be sent to another though it may have been executed.
	Deduplicated bool
	Tunnels      tunnel.Config

	ProxyProtocol ProxyProtocol // of load balancers in front of the edge

	// Shield is the place of the edge that collects the misses of all; "" if each
	// edge asks a region itself.
	Shield meridian.Region
	Cache  cache.Config

	// Behaviors are tried in order; a request that none matches goes to the
	// regions as it is. Origins are those, beside the regions, that they name.
	Behaviors []Behavior
	Origins   []origin.CustomConfig

	// Guard is asked of every request, before that of its behaviour. GuardClients
	// bounds the clients whose rates are known; 0 means 65,536, in 3 MiB.
	Guard        Guard
	GuardClients int
	AccessLog    *accesslog.Config // nil writes none
	// Functions are the edge functions that behaviours name.
	Functions function.Config
	Lanes     Lanes

	// BindBody binds a sealed identity to the SHA-256 of the body, where there
	// is one of known length that the edge holds whole. The gateways must do the
	// same, or they refuse the identity; so it is off unless they say so.
	BindBody bool

	// Carriers say how consistency tokens travel to clients and back.
	Carriers meridian.Carriers

	// IgnoreConsistency makes the edge forget and drop consistency tokens. It
	// is the negative control of guarantee 1, and of no other use.
	IgnoreConsistency bool
}

// Limits bounds what a client may send.
type Limits struct {
	Header     int   // bytes of names and values; 0 means 32 KiB
	Body       int64 // bytes; 0 means 10 MB
	Hold       int64 // bytes of a body that the edge keeps to send it again; 0 means 64 KiB
	Streams    int   // requests at once on a client's HTTP/2 or HTTP/3 connection; 0 means 250
	Remembered int   // callers whose consistency tokens are kept; 0 means 65,536

	Connections int       // open at once, of all clients; 0 means 200,000
	Pace        pace.Rule // of bodies that come and responses that are taken; a rate of 0 means 500 bytes a second, less none; a grace of 0 means 20 s

	ConnectionsPerClient int // of one address (IPv6: of one /64); 0 means 4,096, and no bound on this machine's own
}

// Timeouts bounds how long things take.
type Timeouts struct {
	Handshake time.Duration // of TLS, TCP's or QUIC's; 0 means 10 s
	Header    time.Duration // for a client to send its headers; 0 means 10 s
	Idle      time.Duration // of a client's connection between requests; 0 means 2 min
	Park      time.Duration // of idleness, until net/http is taken off a connection; 0 means 2 s, less means never
	FirstByte time.Duration // until a region's response begins, retries included; 0 means 30 s
	Drain     time.Duration // for requests to end when the edge stops; 0 means 8 s
	Linger    time.Duration // for a client of HTTP/2 that still sends its body to read an error; 0 means 250 ms
	Remember  time.Duration // of a caller's consistency tokens; 0 means 5 min
}

// Upstream is the way to the regions; see origin.Config for the fields.
type Upstream struct {
	Connections    int
	ConnectTimeout time.Duration
	PingEvery      time.Duration
	PingTimeout    time.Duration
	Silence        time.Duration
	Blind          bool
	MaxTries       int     // attempts for one request; 0 means 4
	Hedges         float64 // share of all requests that may be sent to a second region; 0 means 0.02, less means none
}

// Landing is what the page at / says where the API has no route for it.
type Landing struct {
	About string // one sentence on the API
	Try   []Try  // requests that work as they stand
	Curl  string // how curl is called here, such as "curl --cacert ca.pem"; "" means curl
}

// A Try is a request that a newcomer can make.
type Try struct {
	What   string // what it shows
	Method string // "" means GET
	Path   string
	Body   string // JSON, or ""
}

func (c Config) defaults() (Config, error) {
	if c.Place == "" || c.HTTPS == "" {
		return c, fmt.Errorf("edge %q: place %q and HTTPS address %q: want both", c.Node, c.Place, c.HTTPS)
	}
	if err := c.TLS.check(); err != nil {
		return c, fmt.Errorf("edge %q: %w", c.Node, err)
	}
	if err := errors.Join(c.checkBehaviors(), c.checkFunctions()); err != nil {
		return c, err
	}
	c.Guard.ready()
	c.Behaviors = ready(c.Behaviors, c.Origins, c.Functions.Functions)
	orDefault(&c.GuardClients, 1<<16)
	orDefault(&c.Limits.Header, 32<<10)
	orDefault(&c.Limits.Body, 10_000_000)
	orDefault(&c.Limits.Hold, 64<<10)
	orDefault(&c.Limits.Streams, 250)
	orDefault(&c.Limits.Remembered, 1<<16)
	orDefault(&c.Limits.Connections, 200_000)
	orDefault(&c.Limits.Pace.Rate, 500)
	orDefault(&c.Limits.Pace.Grace, 20*time.Second)
	orDefault(&c.Timeouts.Handshake, 10*time.Second)
	orDefault(&c.Timeouts.Header, 10*time.Second)
	orDefault(&c.Timeouts.Linger, 250*time.Millisecond)
	orDefault(&c.Timeouts.Idle, 2*time.Minute)
	orDefault(&c.Timeouts.Park, 2*time.Second)
	orDefault(&c.Timeouts.FirstByte, 30*time.Second)
	orDefault(&c.Timeouts.Drain, 8*time.Second)
	orDefault(&c.Timeouts.Remember, 5*time.Minute)
	orDefault(&c.Upstream.MaxTries, 4)
	orDefault(&c.Upstream.Hedges, 0.02)
	return c, nil
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c Config) origin() origin.Config {
	u := c.Upstream
	return origin.Config{Place: c.Place, Connections: u.Connections, ConnectTimeout: u.ConnectTimeout, PingEvery: u.PingEvery, PingTimeout: u.PingTimeout, Silence: u.Silence, Blind: u.Blind}
}

// A Verifier says who sent a request; identity.Verifier is one. It returns nil
// and no error for a request without a credential that is ours.
type Verifier interface {
	Verify(http.Header) (*identity.Principal, error)
}

// Certificates finds the certificate for a handshake; cert.Store is one.
type Certificates interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Sockets opens sockets, or finds those that another process handed over;
// net.ListenConfig is one.
type Sockets interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// A Passer is Sockets by which a process also gives its next one what goes with
// them.
type Passer interface {
	Pass(network, address string, make func() (f *os.File, note string, err error))
	Passed(network, address string) (f *os.File, note string) // f is nil if there is nothing
}

// Deps is what the program provides. Map, Dial and Certs must be given.
type Deps struct {
	Map   *topology.Map
	Dial  func(context.Context, meridian.Region) (net.Conn, error) // a TLS connection to the region's gateway
	RTT   func(meridian.Region) (time.Duration, bool)              // as this node measured it; nil leaves it to the map
	Certs Certificates

	// Challenges answers the validations of certificate authorities; nil: there are none.
	Challenges Challenges
	// Tickets are the keys of TLS tickets, the first of which seals; nil, or none:
	// this edge makes its own.
	Tickets func() [][32]byte

	Verify Verifier                // nil verifies nobody
	Key    func() identity.EdgeKey // what identities are sealed with; nil seals none

	// TokenKeys returns by what consistency tokens of clients are believed; nil:
	// all are.
	TokenKeys func() meridian.TokenKeys

	// Tell carries what this edge found broken to the others, whose Hear takes
	// it. It must not block; nil tells nobody.
	Tell func(origin.Rumour)
	// Invalidated hears of what an unsafe request ended the life of in this edge's
	// cache. It must not block.
	Invalidated func(cache.Purge)

	// DialShield makes a connection to Inner of the shield's edge; nil: there is none.
	DialShield func(context.Context, meridian.Region) (net.Conn, error)

	// Recent names the purges that this edge applied lately. After returns what
	// another edge's Recent asks of this one's answers: that the origin gave them
	// after that time. Both may be nil.
	Recent func() string
	After  func(recent string) time.Time

	// Horizon returns the time before which what was fetched may not be taken for
	// fresh, since a purge of it may not have come here; nil: there is none.
	Horizon func() time.Time

	// Geo says where viewers are; nil knows of nobody.
	Geo *geo.Database

	// Edges counts the edges that share the rate limits; nil: this one alone. What
	// Uses returns is to be told to the others' HearUses every 100 ms or so.
	Edges func() int
	// Store returns the present content of a key-value store of functions; nil:
	// there is none.
	Store func(name string) *kv.Snapshot

	// Sockets opens what the doors listen on; nil means net.ListenConfig.
	Sockets Sockets

	Engine  Engine // nil means net/http
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  trace.Tracer
	Now     func() time.Time
}

func (d Deps) defaults() (Deps, error) {
	if d.Map == nil || d.Dial == nil || d.Certs == nil {
		return d, fmt.Errorf("edge: a map, a dialer and certificates must be given")
	}
	if d.TokenKeys == nil {
		d.TokenKeys = func() meridian.TokenKeys { return nil }
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Sockets == nil {
		d.Sockets = new(net.ListenConfig)
	}
	return d, nil
}
