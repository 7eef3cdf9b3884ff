package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"meridian"
	"meridian/lambda/sandbox"
)

// A Config is what an operator may say.
type Config struct {
	Region    meridian.Region
	Listen    netip.Addr // runtime APIs listen here, on ports of the system's choice; zero is 127.0.0.1
	Dir       string     // of this node alone, for bundles and scratch folders; "" is a temporary folder, removed at the end
	AccountID string     // in functions' ARNs; "" is 000000000000

	InitTimeout time.Duration // from a process's start to its first `next`; 0 is 10s
	Drain       time.Duration // for invocations to end when the node stops; 0 is 3s
	Grace       time.Duration // from SIGTERM to SIGKILL; 0 is 500ms

	Functions []Function
}

// A Function is one function and its limits.
type Function struct {
	Name        string
	Bundle      string            // a folder with bootstrap
	Timeout     time.Duration     // of one invocation; 0 is 10s
	MemoryMiB   int               // of one process; 0 is 128
	Concurrency int               // invocations at once in one process; 0 is 1
	Min, Max    int               // processes; Max 0 is 10, or Min if that is more
	MaxQueue    int               // invocations that wait for a slot; 0 is 1000
	Idle        time.Duration     // a process beyond Min ends after so long without work; 0 is 5m
	Env         map[string]string // the customer's variables
	Databases   []string          // the first is DATABASE_URL's
	UID, GID    int               // the user of its processes; 0: the node's own. GID 0 is that of UID's number
}

// Deps is what the program provides.
type Deps struct {
	Databases map[string]Database
	Log       *slog.Logger          // nil discards
	Metrics   prometheus.Registerer // nil keeps none
	Tracer    trace.Tracer          // nil traces nothing
}

// A Database is what functions' processes are told of the database hop.
type Database interface {
	// Attach returns a URL that only the environment env uses, until detach.
	Attach(env string) (url string, detach func(), err error)
	// Begin says that env works on an invocation from now on, must see nothing
	// older than floor, and is promised what its route says of its reads; the
	// end of it returns what was seen. Several may be under way at once in one
	// environment.
	Begin(ctx context.Context, env string, floor meridian.Token, reads meridian.Promise) (end func() meridian.Observation)
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (c Config) withDefaults() Config {
	c.Listen = or(c.Listen, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	c.AccountID = or(c.AccountID, "000000000000")
	c.InitTimeout = or(c.InitTimeout, 10*time.Second)
	c.Drain = or(c.Drain, 3*time.Second)
	c.Grace = or(c.Grace, 500*time.Millisecond)
	fns := make([]Function, len(c.Functions))
	for i, f := range c.Functions {
		fns[i] = f.withDefaults()
	}
	c.Functions = fns
	return c
}

func (f Function) withDefaults() Function {
	f.Timeout = or(f.Timeout, 10*time.Second)
	f.MemoryMiB = or(f.MemoryMiB, 128)
	f.Concurrency = or(f.Concurrency, 1)
	f.Max = or(f.Max, max(10, f.Min))
	f.MaxQueue = or(f.MaxQueue, 1000)
	f.Idle = or(f.Idle, 5*time.Minute)
	f.GID = or(f.GID, f.UID)
	return f
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider().Tracer("")
	}
	return d
}

// check says what is wrong with a function, defaults filled in.
func (f Function) check(d Deps) error {
	const good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	switch {
	case f.Name == "" || len(f.Name) > 64 || strings.Trim(f.Name, good) != "":
		return errors.New("a name has 1 to 64 letters, digits, - and _")
	case f.Bundle == "":
		return errors.New("no bundle")
	case f.Timeout < 0 || f.Timeout > 15*time.Minute:
		return fmt.Errorf("timeout %v: want at most 15m", f.Timeout)
	case f.Min < 0 || f.Max < max(f.Min, 1):
		return fmt.Errorf("%d to %d processes: want at least 1, and no less than the minimum", f.Min, f.Max)
	case f.Concurrency < 1 || f.Concurrency > 1600:
		return fmt.Errorf("concurrency %d: want 1 to 1600", f.Concurrency)
	case f.MemoryMiB < 16:
		return fmt.Errorf("memory of %d MiB: want at least 16", f.MemoryMiB)
	case f.MaxQueue < 0 || f.Idle < 0:
		return errors.New("a negative queue or idle time")
	case f.UID > 0 && f.UID != os.Getuid() && os.Getuid() != 0:
		return fmt.Errorf("user %d: only root can run a function as another user", f.UID)
	}
	for _, name := range f.Databases {
		if d.Databases[name] == nil {
			return fmt.Errorf("no database is named %q", name)
		}
	}
	return sandbox.CheckEnv(f.Env)
}
