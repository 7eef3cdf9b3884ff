package function

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/kv"
)

// A Runtime is what a function was written for.
type Runtime string

// The runtimes. The zero Runtime looks at the source: what exports a handler as
// Lambda functions do is one.
const (
	CloudFront Runtime = "cloudfront-js-2.0"
	LambdaEdge Runtime = "lambda-edge"
)

// A Source is one function.
type Source struct {
	Name    string
	File    string // as errors and stacks name it
	Code    []byte
	Runtime Runtime
	Store   string // the key-value store that cf.kvs() opens; "" means none
}

// MaxCode returns the size of a source that a runtime takes, in bytes.
func (r Runtime) MaxCode() int {
	if r == LambdaEdge {
		return 1 << 20
	}
	return 10 << 10
}

// A Config is what an operator may say. A zero field means its default.
type Config struct {
	Functions []Source
	Limits    Limits
}

// Limits bounds one run. The times are of the processor where the system tells
// them, so that a run on a busy machine is not blamed for waiting.
type Limits struct {
	Time    time.Duration // after which a run is ended; 0 means 4 ms
	Memory  int64         // bytes of what it asks for by size (texts, buffers, arrays), let go or not; 0 means 32 MiB
	Depth   int           // of calls; 0 means 1,000
	Console int           // bytes that it may log; 0 means 10 KiB
	Runs    int           // at once; 0 means one a processor, two at least
}

// A Location is where an edge stands, in cf.edgeLocation's words.
type Location struct {
	Name, Server, Region string
}

// Deps is what the program provides. All may be nil.
type Deps struct {
	// Store returns the present content of a key-value store, which never changes;
	// nil if there is none of that name.
	Store func(name string) *kv.Snapshot
	// Resolve answers the module dns: the addresses of a name, and the names that
	// it stands for, without asking anybody.
	Resolve func(name string) (Resolved, bool)

	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// A Resolved is what a name stands for.
type Resolved struct {
	Canonical string // "" if it is the name itself
	Addresses []netip.Addr
}

// An Error is why a run brought nothing.
type Error struct {
	Function string
	Event    string
	Result   string // of metrics: error, invalid, limit
	Lambda   bool   // it was written for Lambda@Edge
	Err      error
}

func (e *Error) Error() string {
	return fmt.Sprintf("function %s (%s): %v", e.Function, e.Event, e.Err)
}

// Code is CloudFront's word for the failure, as its logs and its error pages
// have it.
func (e *Error) Code() string {
	word := map[string]string{"invalid": "ValidationError", "error": "ExecutionError", "limit": "ExecutionError"}[e.Result]
	switch busy := throttled(e.Err); {
	case busy && e.Lambda:
		return "LambdaLimitExceeded"
	case busy:
		return "FunctionThrottledError"
	case e.Lambda:
		return "Lambda" + word
	}
	return "Function" + word
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
