package edge

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/edge/origin"
	"meridian/identity"
)

// HeaderNotServing is how a region's node says, on a 503, that it executed
// nothing because it is being drained: the request may go elsewhere, whatever
// its method.
const HeaderNotServing = "Meridian-Not-Serving"

var errNotServing = errors.New("the region is not serving")

// forward sends the request to the best region, and to the next best while
// that is safe, and passes the response on.
func (x *exchange) forward() {
	deadline := x.start.Add(x.cfg.Timeouts.FirstByte)
	var tried []meridian.Region
	for {
		x.choice = x.way.Choose(tried)
		if x.choice.Region == "" {
			x.fail(meridian.WithKind(meridian.Unavailable, errors.New(x.choice.Why)))
			return
		}
		left := deadline.Sub(x.deps.Now())
		resp, err := x.attempt(left)
		if err == nil {
			x.began = x.deps.Now()
			x.respond(resp)
			return
		}
		v := x.retry(x.failed(err, deadline.Sub(x.deps.Now())))
		x.metrics.failed(err, v.Again)
		x.deps.Log.Warn(x.unanswered(), "request", x.id, "region", x.choice.Region, "error", err, "again", v.Again, "why", v.Why)
		if !v.Again {
			x.fail(err)
			return
		}
		tried = append(tried, x.choice.Region)
	}
}

// failed describes a failed attempt to the retry policy.
func (x *exchange) failed(err error, left time.Duration) origin.Attempt {
	a := origin.Attempt{
		Method: x.r.Method, Sent: origin.MaybeSent, Replayable: true, ClientGone: x.r.Context().Err() != nil,
		Tries: x.tries, MaxTries: x.maxTries(), Left: left,
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
	ctx, span := x.deps.Tracer.Start(x.r.Context(), "origin", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	req := x.outgoing(left)
	propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))
	early := &interim{x: x}
	resp, err := x.way.RoundTrip(req.WithContext(ctx), origin.Trip{
		Region: x.choice.Region, Class: origin.ClassOf(x.r.Method, x.sent.path), FirstByte: max(left, time.Millisecond), Interim: early.pass,
		Abandon: origin.Safe(x.r.Method) && len(x.deps.Map.Now().Serving()) > 1,
	})
	early.end()
	if err == nil && x.custom != nil {
		distrust(resp)
	}
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get(HeaderNotServing) != "" {
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

// outgoing makes the request for one attempt.
func (x *exchange) outgoing(left time.Duration) *http.Request {
	h := maps.Clone(x.header)
	if x.custom == nil {
		h.Set(identity.HeaderTimeLeft, strconv.FormatInt(max(left.Milliseconds(), 1), 10))
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
			req.Body = &trailing{req.Body, x.r.Trailer, announce(req.Trailer, x.r.Trailer)}
		}
	}
	return req
}

// announce puts the names of from into to, but internal ones, and returns to.
func announce(to, from http.Header) http.Header {
	for name := range from {
		if !internal(name) {
			to[name] = nil
		}
	}
	return to
}

// A trailing body fills in the request's trailers when the client's have come,
// which is when its body ends.
type trailing struct {
	io.ReadCloser
	from, to http.Header
}

func (t *trailing) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err == io.EOF {
		for name := range t.to {
			t.to[name] = t.from[name]
		}
	}
	return n, err
}

// An interim passes 1xx responses on while the final one has not come.
type interim struct {
	x     *exchange
	mu    sync.Mutex // guards what follows, and the writing
	ended bool
}

// pass hands one interim response to the client. 100 Continue is not passed
// on: the edge itself asks the client for the body.
func (i *interim) pass(status int, h textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended || status == http.StatusContinue || status == http.StatusSwitchingProtocols || !i.x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	out := i.x.w.Header()
	before := maps.Clone(out)
	clear(out)
	maps.Copy(out, http.Header(h))
	stripHops(out)
	stripInternal(out)
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
