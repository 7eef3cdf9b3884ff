package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"meridian"
	"meridian/internal/boottime"
	"meridian/topology"
)

// A Config says what an operator may say of a region's proxy.
type Config struct {
	Region   meridian.Region
	Database string // its name for PostgreSQL and in tokens
	Role     string // as whom execution environments work; default the database's name
	Listen   string // host:port for clients

	// Watcher is the role of the proxy's one connection that asks how far
	// PostgreSQL is, and on which timeline: default meridian, the superuser.
	Watcher string

	// Users are the names and passwords of people's clients. A name is that of
	// a role of PostgreSQL.
	Users map[string]string
	// LocalFunctions are user-defined volatile functions that only read, and so
	// may run on a standby.
	LocalFunctions []string

	// Consistency is what a session's reads are promised until it says something
	// else; the zero value is meridian.Session.
	Consistency meridian.Consistency
	// Unreachable is what becomes of a read whose promise no node can keep;
	// default meridian.Refuse.
	Unreachable meridian.Unreachable

	// TransactionPooling gives a session's backend on the primary back after
	// each transaction. By default a session keeps it.
	TransactionPooling bool

	MaxServer    int           // connections to the local PostgreSQL; default 80
	QueueTimeout time.Duration // how long a client waits for one of them; default 10 s
	LendAfter    time.Duration // how long a session is idle before it lends its one to who waits; 0: never
	LoginTimeout time.Duration // how long a stranger may take to log in; default 30 s
	// PrimaryTimeout is how long the primary's proxy may be silent before it is
	// taken for lost; default 2 s.
	PrimaryTimeout time.Duration
	// MoveBudget is how long a group of messages waits for a primary that takes
	// it, while the primary moves or is being replaced; default 8 s.
	MoveBudget time.Duration
	// ReturnBudget is how long it waits while the primary's node is being started
	// again, and said so; default 25 s.
	ReturnBudget time.Duration
	// NoFailover says that a lost primary is not replaced: what needs it fails
	// at once, as there is nothing to wait for, unless it returns.
	NoFailover bool
	// DoubtBudget is how long a statement that was sent and not answered waits for
	// a primary that can say what became of it; default 0: it does not.
	DoubtBudget time.Duration
	// Loops is how many event loops of the proxy's own the sessions run on (package
	// loop): default half of GOMAXPROCS, at least one. Below 0 there are none:
	// sessions are goroutines on Go's poller.
	Loops int
	Hold  int // bytes of a read's replies that are held back until it cannot move; default 64 KiB
}

// Deps is what the program provides.
type Deps struct {
	// Local connects to the region's own PostgreSQL, which trusts the socket. A
	// *net.TCPConn or *net.UnixConn is taken over: to close it then does nothing.
	Local func(context.Context) (net.Conn, error)
	// Standbys are the region's further PostgreSQLs, which follow its own. Reads
	// run on any of them while the primary is elsewhere.
	Standbys []Standby
	// Remote opens a stream to the proxy of another region.
	Remote func(context.Context, meridian.Region) (net.Conn, error)
	// Peers accepts the streams of other regions' proxies. It may be nil.
	Peers net.Listener
	Map   *topology.Map
	// Lease returns the reading of Boot at which this region's right to act as
	// the primary ends, 0 if it has none, and its term. Nil: it never ends.
	Lease func() (until time.Duration, term uint64)
	// Durability returns what must be true of a commit before its success is
	// told. Nil: nothing more than that it is on the primary's disk.
	Durability func() Demand
	// Boot is the clock of Lease; default CLOCK_BOOTTIME.
	Boot func() time.Duration
	// Forks returns where the database's timelines ended, oldest first. It may
	// be nil.
	Forks func() []Fork
	// Handed reports whether the primary of now was handed the database in a
	// planned move, so that nothing was lost on the way. It may be nil.
	Handed func() bool
	// Horizon returns what a successor found in its log of the time before a
	// timeline's end; nil as long as none has said. It may be nil.
	Horizon func(timeline uint32) *Horizon
	// Outcomes reads the local PostgreSQL's log from a position, or from the
	// oldest that is kept, to where its timeline began. Nil: what is in doubt
	// stays so.
	Outcomes func(ctx context.Context, since meridian.LSN) (Outcomes, error)
	TLS      *tls.Config // nil: clients get no TLS
	// Open makes the socket to listen on, or finds one that was handed over; nil
	// means net.ListenConfig.
	Open func(ctx context.Context, network, address string) (net.Listener, error)

	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  trace.Tracer
	Now     func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	if c.Database == "" || c.Region == "" {
		return c, errors.New("postgres: config without a database or a region")
	}
	if c.Role == "" {
		c.Role = c.Database
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.QueueTimeout, 10 * time.Second}, {&c.LoginTimeout, 30 * time.Second}, {&c.PrimaryTimeout, 2 * time.Second}, {&c.MoveBudget, 8 * time.Second}, {&c.ReturnBudget, 25 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if c.Watcher == "" {
		c.Watcher = "meridian"
	}
	if c.MaxServer == 0 {
		c.MaxServer = 80
	}
	if c.Loops == 0 {
		c.Loops = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.Hold == 0 {
		c.Hold = 64 << 10
	}
	return c, nil
}

func (d Deps) withDefaults() (Deps, error) {
	if d.Local == nil || d.Map == nil {
		return d, errors.New("postgres: deps without a local PostgreSQL or a map")
	}
	if d.Remote == nil {
		d.Remote = func(context.Context, meridian.Region) (net.Conn, error) {
			return nil, errors.New("there are no other regions")
		}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if d.Boot == nil {
		d.Boot = boottime.Now
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d, nil
}
