package health

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what an operator may say.
type Config struct {
	Node     string        // this node's name
	Interval time.Duration // between pings; zero means 300 ms
}

// Deps is what the program provides.
type Deps struct {
	// Open opens a stream to the ping service of a node.
	Open func(ctx context.Context, node string) (net.Conn, error)
	// Listener accepts the streams that others open.
	Listener net.Listener
	// Peers are the other nodes.
	Peers []string
	// Facts returns what this node tells about itself, such as its replay lag.
	// It is called for each answer and must be quick. It may be nil.
	Facts func() map[string]string
	// Observe takes each measured round trip. It may be nil.
	Observe func(node string, rtt time.Duration)
	// Changed is called after a peer came or went in this node's own sight. It
	// must not block. It may be nil.
	Changed func()
	Log     *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

const (
	defaultInterval = 300 * time.Millisecond
	// returnAfter is how many pings in a row bring a node back (R17).
	returnAfter = 2
	// freshFor is how many intervals a report counts after it was heard. A
	// node that nobody can hear has no vote.
	freshFor = 10
	// idleAfter is how many intervals an accepted stream may be silent.
	idleAfter = 100
	// openLimit bounds one attempt to open a stream.
	openLimit = 3 * time.Second
)

func (c Config) interval() time.Duration {
	if c.Interval == 0 {
		return defaultInterval
	}
	return c.Interval
}

func (c Config) check(d Deps) error {
	switch {
	case c.Node == "":
		return errors.New("health: no node name")
	case c.Interval < 0:
		return errors.New("health: negative interval")
	case d.Open == nil || d.Listener == nil:
		return errors.New("health: no way to other nodes")
	}
	return nil
}
