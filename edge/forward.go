package edge

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"

	"meridian"
	"meridian/edge/cache"
	"meridian/edge/origin"
	"meridian/identity"
	"meridian/internal/idempotency"
)

// HeaderNotServing is how a region's node says, on a 503, that it executed
// nothing because it is being drained: the request may go elsewhere, whatever
// its method.
const HeaderNotServing = "Meridian-Not-Serving"

var errNotServing = errors.New("the region is not serving")

// An asking is how a region was asked for a response.
type asking struct {
	choice origin.Choice
	tries  int
	from   time.Time // when that began
	began  time.Time // when its headers came
	wrote  string    // of the exchange, of that name
}

// forward answers from the cache, or from a region.
func (x *exchange) forward() {
	resp, err := x.ask(x.wanted())
	if err != nil {
		x.fail(err)
		return
	}
	x.pass(resp)
}

// pass answers with a response, or with the page that stands for it.
func (x *exchange) pass(resp *cache.Response) {
	if _, ok := x.pageFor(resp.Status); ok && x.replaced(resp.Status, resp.Header, x.learn(x.mine(resp.Tokens))) {
		resp.Body.Close()
		return
	}
	x.respond(resp)
}

// ask asks the cache, which fetches what it lacks, and notes which of the two
// answered.
func (x *exchange) ask(q cache.Request) (*cache.Response, error) {
	first := *x // may go on when this exchange is over: others may wait for the answer
	resp, err := x.cache.Do(x.r.Context(), q, first.fetch)
	x.gate.shut()
	if w := x.went.Load(); w != nil {
		x.choice, x.tries, x.began, x.wrote = w.choice, w.tries, w.began, w.wrote
	} else if err == nil {
		x.choice = origin.Choice{Cause: fromCache, Why: resp.Why}
	}
	if err == nil {
		x.outcome = resp.Outcome
	}
	return resp, err
}

// fromCache is the cause of a choice that was none: no region was asked.
const fromCache origin.Cause = "cache"

// wanted describes the request to the cache.
func (x *exchange) wanted() cache.Request {
	q := cache.Request{
		Method: x.r.Method, Host: x.host(), Path: x.at.path, Query: x.at.query, Header: x.header, Tokens: x.seen, Body: x.body != nil,
		Credential: x.credential(), Policy: x.caching(), Down: x.down, Unheard: unheard, Origin: x.routed(), Made: x.behavior.made,
	}
	if x.deps.Horizon != nil {
		q.After = x.deps.Horizon()
	}
	if x.behavior.Guard.WAF != nil && !x.inner {
		q.Admit = x.inspect
	}
	if x.behavior.EarlyHints && !x.inner && x.r.ProtoMajor >= 2 && x.r.Method == http.MethodGet {
		q.Early = x.hint
	}
	return q
}

// credential reports whether the origin is told who asks. A region always is, by
// the sealed identity; another only by what the request policy lets through.
func (x *exchange) credential() bool {
	if x.custom == nil && (x.principal != nil || x.caller != (caller{})) {
		return true
	}
	return len(x.header["Authorization"])+len(x.header[identity.HeaderAPIKey]) > 0
}

// caching returns how the request is cached.
func (x *exchange) caching() cache.Policy {
	if p := x.behavior.Cache; p != nil {
		return *p
	}
	return cache.Default()
}

// down reports whether this edge can reach no region.
func (x *exchange) down() bool {
	if x.custom != nil {
		return x.custom.Down()
	}
	for _, r := range x.deps.Map.Now().Regions {
		if s, _ := x.origin.State(r.Name); (s == origin.Ready || s == origin.Warming) && r.Healthy {
			return false
		}
	}
	return true
}

// unheard reports whether a failure says that nothing was heard of the origin: it
// could not be reached, broke off before it answered, or did not answer in time.
func unheard(err error) bool {
	switch kindOf(err) {
	case meridian.Unavailable, meridian.Malformed, meridian.Timeout:
		return !errors.Is(err, errFunction)
	}
	return false
}

// fetch sends the request to the best region, and to the next best while that
// is safe. It works on a copy of the exchange: the client that it began for may
// be gone before it ends.
func (x *exchange) fetch(ctx context.Context, h http.Header) (*http.Response, error) {
	y, from := *x, x.deps.Now()
	y.r, y.header = x.r.WithContext(ctx), h
	resp, err := y.dispatch()
	y.went.Store(&asking{y.choice, y.tries, from, y.began, y.wrote})
	return resp, err
}

// send tries regions until one answers.
func (x *exchange) send() (*http.Response, error) {
	deadline := x.start.Add(cmp.Or(x.limit, x.cfg.Timeouts.FirstByte))
	var tried []meridian.Region
	var doubt error // why it may have been executed
	for {
		x.choice = x.way.Choose(tried)
		if x.choice.Region == "" && doubt != nil {
			return nil, doubt
		}
		if x.choice.Region == "" {
			return nil, meridian.WithKind(meridian.Unavailable, errors.New(x.choice.Why))
		}
		left := deadline.Sub(x.deps.Now())
		resp, err := x.race(left, tried)
		if err == nil && doubt != nil {
			err = x.unclaimed(resp)
		}
		if err == nil {
			x.began = x.deps.Now()
			return resp, nil
		}
		v := x.retry(x.failed(err, deadline.Sub(x.deps.Now())))
		x.metrics.failed(err, v.Again)
		x.deps.Log.Warn(x.unanswered(), "request", x.id, "region", x.choice.Region, "error", err, "again", v.Again, "why", v.Why)
		doubt = x.inDoubt(doubt, err)
		if !v.Again {
			return nil, cmp.Or(doubt, err)
		}
		tried = append(tried, x.choice.Region)
	}
}

// failed describes a failed attempt to the retry policy.
func (x *exchange) failed(err error, left time.Duration) origin.Attempt {
	a := origin.Attempt{
		Method: x.r.Method, Sent: origin.MaybeSent, Replayable: true, ClientGone: x.r.Context().Err() != nil,
		Tries: x.tries, MaxTries: x.maxTries(), Left: left, Keyed: x.keyed, Once: x.once,
	}
	if x.body != nil {
		a.Replayable = x.body.replayable() && x.body.failure() == nil
	}
	var e *origin.Error
	if errors.As(err, &e) {
		a.Sent, a.TimedOut = e.Sent, e.Kind == meridian.Timeout
	}
	return a
}

// attempt sends the request to the chosen region, once.
func (x *exchange) attempt(left time.Duration) (*http.Response, error) {
	x.tries++
	ctx, span := x.deps.Tracer.Start(x.r.Context(), "origin", clientSpan)
	defer span.End()
	req := x.outgoing(left)
	propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))
	early := &interim{x: x, strange: x.custom != nil}
	resp, err := x.way.RoundTrip(req.WithContext(ctx), origin.Trip{
		Region: x.choice.Region, Class: origin.ClassOf(x.r.Method, x.sent.path), FirstByte: max(left, time.Millisecond), Patient: x.streams(),
		Interim: early.pass, Opening: func(resp *http.Response) error { early.end(); return x.opening(resp) },
		Waiting: origin.Waiting{Elsewhere: len(x.deps.Map.Now().Serving()) > 1, Movable: origin.Safe(x.r.Method) || x.once},
	})
	early.end()
	if err == nil && x.custom != nil {
		distrust(resp)
	}
	if err == nil && notServing(resp) {
		resp.Body.Close()
		x.origin.Refused(x.choice.Region)
		err = &origin.Error{Region: x.choice.Region, Sent: origin.Unsent, Kind: meridian.Unavailable, Err: errNotServing}
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.String("region", string(x.choice.Region)), attribute.String("why", x.choice.Why))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
	}
	return resp, err
}

// notServing reports whether a region says that it is being drained.
func notServing(resp *http.Response) bool {
	return resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get(HeaderNotServing) != ""
}

// outgoing makes the request for one attempt.
func (x *exchange) outgoing(left time.Duration) *http.Request {
	h := maps.Clone(x.header)
	if x.custom == nil {
		h.Set(identity.HeaderTimeLeft, strconv.FormatInt(max(left.Milliseconds(), 1), 10))
	}
	if x.once {
		h.Set(idempotency.HeaderOnce, "1")
	}
	if x.custom == nil && x.principal != nil && x.deps.Key != nil {
		h.Set(identity.HeaderIdentity, identity.Seal(x.deps.Key(), x.principal, identity.Binding{
			Method: x.r.Method, Host: x.host(), Path: x.sent.path, Query: x.sent.query, RequestID: x.id, BodyHash: x.bodyHash,
		}, x.deps.Now()))
	}
	req := &http.Request{Method: x.r.Method, Proto: "HTTP/2.0", ProtoMajor: 2, Header: h}
	x.address(req)
	if x.body != nil {
		req.Body, req.ContentLength = x.body.reader(), x.r.ContentLength
		if len(x.r.Trailer) > 0 {
			req.Trailer = http.Header{}
			req.Body = &trailing{req.Body, x.r.Trailer, x.announce(req.Trailer)}
		}
	}
	return req
}

// A gate lets 1xx responses pass to the client until the final one is at hand.
type gate struct {
	mu     sync.Mutex // guards what follows, and the writing
	closed bool
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// An interim passes the 1xx responses of one attempt on while its final one has
// not come.
type interim struct {
	x       *exchange
	strange bool       // they are of an origin that is no region
	mu      sync.Mutex // guards what follows
	ended   bool
}

// pass hands one interim response to the client. 100 Continue is not passed
// on: the edge itself asks the client for the body.
func (i *interim) pass(status int, h textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.x.gate.mu.Lock()
	defer i.x.gate.mu.Unlock()
	if i.ended || i.x.gate.closed || status == http.StatusContinue || status == http.StatusSwitchingProtocols || !i.x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	out := i.x.w.Header()
	before := maps.Clone(out)
	clear(out)
	maps.Copy(out, http.Header(h))
	stripHops(out)
	stripInternal(out)
	if i.strange {
		distrustHeader(out)
	}
	i.x.w.WriteHeader(status)
	clear(out)
	maps.Copy(out, before)
	return nil
}

func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
}
