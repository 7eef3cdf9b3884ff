package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"meridian"
	"meridian/gateway/cors"
	"meridian/gateway/ledger"
	"meridian/gateway/placement"
	"meridian/identity"
	"meridian/topology"
)

// Config is what an operator may say.
type Config struct {
	Region  meridian.Region
	Domain  string // of the API
	API     []byte // the OpenAPI file
	APIPath string // its name, for messages

	CORS        *cors.Config   // nil: what the OpenAPI file says
	Placement   placement.Mode // of routes that do not say it; zero: auto
	Functions   map[string]FunctionLimits
	Carriers    meridian.Carriers
	Authorizers []string // names of the JWT authorizers that Deps.Verify knows
	Limits      Limits

	// Certificates says that edges verify the certificates of clients: a security
	// scheme of type mutualTLS asks for one. Otherwise it is left to the application.
	Certificates bool

	// ReclaimUnwritten lets a request be executed again whose region was lost, or
	// ran out of time, before anything was written to the database for its key,
	// whatever it did elsewhere. Otherwise its key is spoiled.
	ReclaimUnwritten bool

	// What events and logs say of the deployment.
	AccountID string // zero: 000000000000
	APIID     string // zero: ten characters derived from Domain
	Stage     string // zero: $default
}

// FunctionLimits bound the invocations of one function.
type FunctionLimits struct {
	Timeout time.Duration // zero: Limits.Integration
	AtOnce  int           // invocations that this region runs at once; zero: not known
}

// Limits bound requests. Zero fields mean API Gateway's own limits.
type Limits struct {
	Header      int           // bytes of request line and headers; zero: 10,240
	Body        int64         // bytes of a request's body; zero: 10 MiB
	InFlight    int64         // bytes of all bodies held at once; zero: 256 MiB
	Integration time.Duration // of any function; zero, and at most: 30 s
}

// Deps is what the program provides.
type Deps struct {
	Invoke  Invoker
	Forward Forwarder     // nil: every request runs in this region
	Map     *topology.Map // where the primary is; needed beside Forward
	Verify  Verifier      // nil: no credential is any good
	Open    Opener        // nil: no sealed identity opens
	// TokenKeys returns what consistency tokens are sealed with and believed by;
	// nil: they are neither sealed nor looked at.
	TokenKeys func() meridian.TokenKeys
	// Ledger executes once what has an Idempotency-Key and is not safe to repeat;
	// nil: the header is the function's own affair.
	Ledger Ledger
	// Fate says what became, after a failover, of what a token names; nil: every
	// token is good.
	Fate    func(context.Context, meridian.Token) meridian.Fate
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  trace.Tracer
	Now     func() time.Time // wall time, for events; zero: time.Now
}

// An Invoker runs a function and waits for its answer. It returns once ctx is
// done, and what stands beside the answer's body is final once that is read.
type Invoker interface {
	Invoke(context.Context, meridian.Invocation) (meridian.Answer, error)
}

// A Forwarder returns the way to the inner gateway of a region, on which each
// request is sent at most once. Its error means that there is none now. An
// error of the way itself is an *Unsent if the request surely was not executed.
type Forwarder func(context.Context, meridian.Region) (http.RoundTripper, error)

// A Ledger remembers, for all regions, what was executed by a key. A claim that
// fails may be given all the same; asking again with it is safe.
type Ledger interface {
	Claim(context.Context, ledger.Claim) (ledger.Entry, error)
	// Settle keeps an answer; held is false if the claim is not part of the
	// history any more, and neither is what was written under it.
	Settle(context.Context, ledger.Claim, ledger.Answer) (held bool, err error)
	// Touch notes, before it is sent, that something may be written for a claim;
	// see meridian.Toucher. Take asks for the claim of another, from, under which
	// nothing was: the next Claim tells whether it was given.
	Touch(context.Context, ledger.Claim) (meridian.Token, error)
	Take(ctx context.Context, c ledger.Claim, from string) error
	// Release gives back a claim of which surely nothing was executed.
	Release(context.Context, ledger.Claim) error
}

// A Verifier finds and verifies the credentials in a request's header, as
// identity.Verifier does.
type Verifier interface {
	Verify(http.Header) (*identity.Principal, error)
}

// An Opener opens the identity that an edge sealed for one request, as
// identity.Opener does.
type Opener interface {
	Open(header string, b identity.Binding) (*identity.Principal, error)
}

const maxIntegration = 30 * time.Second

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.AccountID == "" {
		c.AccountID = "000000000000"
	}
	if c.APIID == "" {
		sum := sha256.Sum256([]byte(c.Domain))
		c.APIID = strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:10]
	}
	if c.Stage == "" {
		c.Stage = "$default"
	}
	if c.APIPath == "" {
		c.APIPath = "openapi"
	}
	return c
}

func (l Limits) withDefaults() Limits {
	if l.Header <= 0 {
		l.Header = 10240
	}
	if l.Body <= 0 {
		l.Body = 10 << 20
	}
	if l.InFlight <= 0 {
		l.InFlight = 256 << 20
	}
	if l.Integration <= 0 || l.Integration > maxIntegration {
		l.Integration = maxIntegration
	}
	return l
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if d.TokenKeys == nil {
		d.TokenKeys = func() meridian.TokenKeys { return nil }
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}
