package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/gateway/event"
	"meridian/gateway/placement"
	"meridian/identity"
	"meridian/internal/idempotency"
)

// An Unsent error says that a region surely did not begin to execute a request,
// which may therefore run elsewhere. Of a request that fails otherwise nobody
// knows, and it is never made again.
type Unsent struct{ Err error }

func (e *Unsent) Error() string { return e.Err.Error() }
func (e *Unsent) Unwrap() error { return e.Err }

// forward has a region run the request and passes its answer on. It reports
// false, having answered nothing, if the request was surely not executed there, or
// if its key tells whether it was.
func (x *exchange) forward(to meridian.Region, body []byte) (answered bool) {
	ctx, cancel := context.WithTimeout(x.r.Context(), x.timeout())
	defer cancel()
	ctx, span := x.startForward(ctx, to)
	defer span.End()
	began := time.Now()
	defer func() { x.note.forward = time.Since(began) }()
	resp, err := x.roundTrip(ctx, to, body)
	if err == nil {
		defer resp.Body.Close()
		err = x.refused(resp)
	}
	if err == nil {
		x.relay(resp)
		return true
	}
	span.SetStatus(codes.Error, err.Error())
	var unsent *Unsent
	if surely := errors.As(err, &unsent); (surely || x.key != "" || x.g.off == withoutDoubt) && x.r.Context().Err() == nil {
		x.stay(surely, err)
		return false
	}
	x.broke(ctx, to, err)
	return true
}

// startForward begins a span that is a child of the request's, if that has one.
func (x *exchange) startForward(ctx context.Context, to meridian.Region) (context.Context, trace.Span) {
	ctx = trace.ContextWithSpan(ctx, x.span)
	if !x.span.SpanContext().IsValid() {
		return ctx, x.span
	}
	return x.g.deps.Tracer.Start(ctx, "forward", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("hop", "gateway"), attribute.String("region", string(x.g.cfg.Region)), attribute.String("request", x.id),
		attribute.String("placed", string(to)), attribute.String("why", x.note.where.Why)))
}

// roundTrip sends the request, once.
func (x *exchange) roundTrip(ctx context.Context, to meridian.Region, body []byte) (*http.Response, error) {
	way, err := x.g.deps.Forward(ctx, to)
	if err != nil {
		return nil, &Unsent{fmt.Errorf("reach %s: %w", to, err)}
	}
	resp, err := way.RoundTrip(x.outgoing(ctx, to, body))
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", to, err)
	}
	return resp, nil
}

// refused returns an Unsent error for an answer that says so.
func (x *exchange) refused(resp *http.Response) error {
	why := resp.Header.Get(headerUnplaced)
	if why == "" {
		return nil
	}
	if meridian.Kind(why) == meridian.Throttled {
		x.g.book.Hear(x.route.Function, 1, time.Now())
	}
	return &Unsent{fmt.Errorf("%s has no room for it: %.80s", resp.Header.Get("Meridian-Region"), why)}
}

// outgoing makes the request that is sent to another region: what the caller
// sent, byte for byte, and what this gateway knows of the caller beside it.
//
// It has no GetBody, without which net/http cannot send it a second time.
func (x *exchange) outgoing(ctx context.Context, to meridian.Region, body []byte) *http.Request {
	h := maps.Clone(x.caller.header)
	delete(h, "Host") // both stand in the event's header alone
	delete(h, "Content-Length")
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or net/http would name itself
	}
	if sealed := x.r.Header[identity.HeaderIdentity]; x.trusted && len(sealed) > 0 {
		h[identity.HeaderIdentity] = sealed
	}
	if len(x.floor) > 0 {
		h.Set(identity.HeaderConsistency, x.g.sealing().SealAll(x.floor).String())
	}
	h.Set(identity.HeaderRequest, x.id)
	h.Set(identity.HeaderTimeLeft, strconv.FormatInt(max(x.timeLeftAt(to).Milliseconds(), 1), 10))
	h.Set(headerPlaced, string(x.g.cfg.Region))
	if x.key != "" {
		h.Set(idempotency.HeaderOnce, "1")
	}
	h.Set(headerProtocol, x.caller.protocol)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	req := (&http.Request{
		Method: x.r.Method, URL: x.outURL(), Host: x.r.Host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: h,
	}).WithContext(ctx)
	if len(body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return req
}

// timeLeftAt returns how long the request may take in another region, so that
// its answer is back in time.
func (x *exchange) timeLeftAt(to meridian.Region) time.Duration {
	rtt, _ := x.g.deps.Map.Now().RTT(x.g.cfg.Region, to)
	return x.timeout() - rtt
}

// outURL returns a URL that net/http writes as the very bytes of the raw path
// and query. It sends URL.Opaque as it is, but takes one that begins with //
// for an authority.
func (x *exchange) outURL() *url.URL {
	raw, host := x.path, x.r.Host
	if strings.Contains(x.r.RequestURI, "?") {
		raw += "?" + x.query
	}
	if host == "" { // HTTP/1.0 need not say
		host = x.g.cfg.Domain
	}
	if strings.HasPrefix(raw, "//") {
		raw = "//" + host + raw
	}
	return &url.URL{Scheme: "https", Host: host, Opaque: raw}
}

// relay passes the answer of another region on, without what gateways say to
// each other, and learns from that.
func (x *exchange) relay(resp *http.Response) {
	h, told := x.w.Header(), resp.Header
	x.note.seen.Token = tokenOf(told)
	x.note.seen.PrimaryAway = told.Get("Meridian-Primary-Away")
	x.heed(resp)
	x.stale(told.Get(headerStale))
	for name, values := range told {
		if !event.Reserved(name) || name == "Meridian-Region" || name == "Meridian-Primary-Away" || name == headerStale || name == headerLost || name == headerReplayed || name == "Content-Length" {
			h[name] = values
		}
	}
	x.observe(x.note.seen.Token)
	x.note.status = resp.StatusCode
	if resp.StatusCode >= http.StatusInternalServerError {
		x.note.err = fmt.Sprintf("%s answered %d", x.note.placed, resp.StatusCode)
	}
	x.w.WriteHeader(resp.StatusCode)
	n, err := io.Copy(x.w, resp.Body)
	x.note.length = n
	if err != nil {
		x.note.err = "pass the answer on: " + err.Error()
		panic(http.ErrAbortHandler) // the one way to end it that a caller notices
	}
}

// heed learns from what the other gateway says.
func (x *exchange) heed(resp *http.Response) {
	if load, ok := placement.ParseLoad(resp.Header.Get(headerLoad)); ok {
		x.g.book.Hear(x.route.Function, load, time.Now())
	}
	if n, err := strconv.Atoi(resp.Header.Get(headerTrips)); err == nil {
		x.note.seen.Trips, x.note.counted = n, true
		x.g.book.Learn(x.learnedBy(), n)
	}
}

// tokenOf returns the token of an answer through a trusted door, or none.
func tokenOf(h http.Header) (t meridian.Token) {
	ts, _ := meridian.ParseTokens(h.Get(identity.HeaderConsistency))
	if len(ts) > 0 {
		t = ts[0].Bare()
	}
	return t
}

// broke answers for a request that the primary's region may have executed. That
// it is lost is said as for a statement that was on its way there: 503, and why.
func (x *exchange) broke(ctx context.Context, to meridian.Region, err error) {
	why := fmt.Sprintf("the primary in %s did not answer; it may have executed the request", to)
	r, k := forwardSlow, meridian.Timeout
	switch {
	case x.r.Context().Err() != nil:
		r, k = replyTo(meridian.Canceled), meridian.Canceled
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		x.primaryAway(why)
		return
	}
	x.note.err, x.note.kind = err.Error(), k
	x.errorBody(r.status, map[string]string{"message": r.message, "reason": why})
}
