package edge

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/edge/accesslog"
	"meridian/edge/cache"
	"meridian/edge/compress"
	"meridian/edge/function"
	"meridian/edge/origin"
	"meridian/edge/pace"
	"meridian/edge/tunnel"
	"meridian/identity"
	"meridian/internal/framing"
)

// An exchange is one request and its response, on their way through the edge.
type exchange struct {
	*Edge
	*ruleset
	inward
	given
	w    *recorder
	r    *http.Request
	id   string
	at   target
	span trace.Span

	behavior  Match
	custom    *origin.Custom  // where the request goes, if that is no region
	way       origin.Way      // there
	policy    RequestPolicy   // what is sent there
	keying                    // what its Idempotency-Key is worth
	sent      target          // at, as far as that is sent
	sentQuery bool            // with a question mark
	hasQuery  bool            // at has one
	asked     target          // what the viewer asked for, if a function made at of it
	route     *function.Route // that a function chose; nil if none did
	signing   *signature      // of requests to it; nil if they go as they are
	claims    http.Header     // what the viewer said of overriding, if a function may have said something else
	wrote     string          // CloudFront's word for a response that an edge function made; "" if none did
	notes     [2]string       // what functions of the viewer's events left for the access log

	start     time.Time
	began     time.Time // when the region's headers came; zero if they did not
	principal *identity.Principal
	caller    caller
	tokens    meridian.Tokens // what the client itself sent
	seen      meridian.Tokens // what the caller has seen, as far as this edge knows
	header    http.Header     // what every region is sent
	body      *body           // nil if there is none
	duplex    bool            // it may be read while the response is written, over HTTP/1.1
	bodyWait  *pace.Wait      // for the client to send that; may be nil
	bodyHash  []byte

	blocked accesslog.Fault // what the guard refused for
	guarded string          // why the guard decided as it did; "" if it had nothing to decide

	choice origin.Choice // the newest
	tries  int
	err    error // why the edge answered itself

	as   int             // the status that the client is told; 0 means the response's
	owed meridian.Tokens // what the client is to be told beside the response's
	seat string          // the page that stood for an error, if one did

	shake *shake        // if it is one for a tunnel; else nil
	ended *tunnel.Ended // what became of that

	called string // the status that a call of gRPC ended with

	gate    *gate                   // what 1xx responses pass
	went    *atomic.Pointer[asking] // how the region was asked, once it was
	outcome cache.Outcome           // "" if the edge answered itself
}

var (
	propagator propagation.TraceContext
	serverSpan = trace.WithSpanKind(trace.SpanKindServer)
	clientSpan = trace.WithSpanKind(trace.SpanKindClient)
)

// begin opens an exchange: its id, its clock and its span, which continues the
// client's trace or starts one.
func (e *Edge) begin(w http.ResponseWriter, r *http.Request) *exchange {
	ctx := r.Context()
	if len(r.Header["Traceparent"]) > 0 {
		ctx = propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	ctx, span := e.deps.Tracer.Start(ctx, "edge", serverSpan)
	if !span.SpanContext().IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, newTrace())
	}
	x := e.exchange(&recorder{ResponseWriter: w, now: e.deps.Now}, r.WithContext(ctx), uuid.NewString(), span)
	x.watchResponse()
	h := w.Header()
	h["X-Meridian-Request"] = []string{x.id}
	h["X-Meridian-Edge"] = []string{string(e.cfg.Place)}
	e.metrics.inFlight.Inc()
	return x
}

// exchange returns an exchange that nothing was done for.
func (e *Edge) exchange(w *recorder, r *http.Request, id string, span trace.Span) *exchange {
	return &exchange{
		Edge: e, ruleset: e.rules.Load(), w: w, r: r, id: id, at: targetOf(r), span: span, start: e.deps.Now(), gate: &gate{}, went: new(atomic.Pointer[asking]),
	}
}

// newTrace returns a trace that nobody records, so that logs of all hops can
// still be joined.
func newTrace() trace.SpanContext {
	var c trace.SpanContextConfig
	rand.Read(c.TraceID[:])
	rand.Read(c.SpanID[:])
	return trace.NewSpanContext(c)
}

// prepare verifies who asks and makes what every region will be sent.
func (x *exchange) prepare() error {
	h := cloned(x.r.Header)
	if x.deps.Verify != nil {
		p, err := x.deps.Verify.Verify(h)
		if err != nil {
			// The region sees the original credential and answers for it.
			x.deps.Log.Debug("a credential was not accepted", "request", x.id, "error", err)
		}
		x.principal = p
	}
	x.principal = x.certified(x.principal)
	x.caller = callerOf(x.principal, h)
	x.tokens = clientTokens(h, x.cfg.Carriers, x.deps.TokenKeys())
	stripHops(h)
	stripInternal(h)
	stripForged(h)
	x.policy.filter(h)
	if x.policy.Unsaid {
		x.stripOverrides(h)
	}
	if x.behavior.stores(x.r.Method) {
		if h["Accept-Encoding"] = codings(h["Accept-Encoding"], x.behavior.Encodings); h["Accept-Encoding"] == nil {
			delete(h, "Accept-Encoding")
		}
	}
	if hasToken(x.r.Header, "Te", "trailers") {
		h.Set("Te", "trailers")
	}
	if !x.behavior.Plain && len(h["If-Match"]) > 0 && !signed(h) {
		h["If-Match"] = compress.Strengthened(h["If-Match"])
	}
	delete(h, "Expect") // answered here, when the body is first read
	x.forwarded(h)
	x.presentClient(h)
	if x.custom != nil {
		x.estrange(h)
	} else {
		x.floor(h)
	}
	x.header = h
	x.readKey()
	defer x.await()
	return x.hold()
}

// forwarded says whom the request comes from and through whom.
func (x *exchange) forwarded(h http.Header) {
	if host, _, err := net.SplitHostPort(x.r.RemoteAddr); err == nil {
		h["X-Forwarded-For"] = []string{strings.Join(append(h["X-Forwarded-For"], host), ", ")}
	}
	port := "443"
	if _, p, err := net.SplitHostPort(x.r.Host); err == nil {
		port = p
	}
	h["X-Forwarded-Proto"] = []string{"https"}
	h["X-Forwarded-Port"] = []string{port}
	h["Via"] = append(h["Via"], x.via(x.r.ProtoMajor, x.r.ProtoMinor))
	h[identity.HeaderRequest] = []string{x.id}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or net/http would name itself
	}
}

// via names this edge as RFC 9110, section 7.6.3, asks of every proxy.
func (x *exchange) via(major, minor int) string {
	v := "1.1"
	switch {
	case major >= 2:
		v = strconv.Itoa(major) + ".0" // gateways make the event's protocol of it
	case minor == 0:
		v = "1.0"
	}
	return v + " " + string(x.cfg.Place) + ".meridian"
}

// floor tells the region how new its data must be for this caller.
func (x *exchange) floor(h http.Header) {
	if x.cfg.IgnoreConsistency {
		return
	}
	ts := mergeOwn(x.tokens, x.recall.get(x.caller, x.start), x.deps.TokenKeys())
	if len(x.tokens) == 0 { // a client that keeps neither cookies nor headers
		ts, _ = merge(ts, x.recall.get(neighbour(x.r.RemoteAddr), x.start))
	}
	if x.seen = ts; len(ts) > 0 {
		h.Set(identity.HeaderConsistency, ts.String())
	}
}

// hold readies the body to be sent more than once, and reads it now where the
// identity is to be bound to it.
func (x *exchange) hold() (err error) {
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return nil
	}
	if x.r.ProtoMajor == 1 { // or net/http reads all of the body before it answers
		x.duplex = http.NewResponseController(x.w).EnableFullDuplex() == nil
	}
	x.body = &body{src: x.watched(x.r.Body), max: x.cfg.Limits.Body, keep: x.cfg.Limits.Hold}
	if x.cfg.BindBody && x.principal != nil && x.r.ContentLength > 0 && x.r.ContentLength <= x.cfg.Limits.Hold {
		x.bodyHash, err = x.body.hash()
	}
	return err
}

// answer lets the edge itself answer.
func (x *exchange) answer(a answer) {
	if isGRPC(x.r) || !x.replaced(a.status, a.header(), nil) {
		a.write(x.w, x.r, x.id)
	}
}

// fail answers for a failure, unless the response has begun or nobody waits.
func (x *exchange) fail(err error) {
	x.err = err
	a := answerFor(err)
	if x.body != nil && x.r.Context().Err() != nil {
		x.body.settle()
	}
	switch {
	case x.body != nil && framing.Broken(x.body.failure()):
		a = byKind[meridian.Invalid] // net/http takes the end of what it may read for the client's
	case x.body != nil && errors.Is(x.body.failure(), errSlow):
		a = refuseSlow
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close") // the rest of the body may still come
		}
	case x.r.Context().Err() != nil:
		a = byKind[meridian.Canceled]
	case x.overdue(): // its server may have noticed first, and broken off
		a = byKind[meridian.Timeout]
	}
	a = x.reworded(a, err)
	if a.status == statusClientGone {
		x.w.status = a.status
		panic(http.ErrAbortHandler) // or the engine would say 200 to who is only half gone
	}
	x.answer(a)
}

func kindOf(err error) meridian.Kind {
	var e *origin.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return meridian.KindOf(err)
}

// end closes the exchange: one record, one span, one count.
func (x *exchange) end() {
	x.w.drop()
	x.leave()
	took := x.deps.Now().Sub(x.start)
	x.metrics.inFlight.Dec()
	x.metrics.observe(x.choice, x.w.status, took)
	x.access(took)
	x.tally(took)
	x.traced()
	x.logged(took)
}

// traced ends the request's span, which says what it met.
func (x *exchange) traced() {
	if x.span.IsRecording() {
		x.span.SetAttributes(
			attribute.String("place", string(x.cfg.Place)), attribute.String("region", string(x.choice.Region)), attribute.String("why", x.choice.Why),
			attribute.String("request", x.id), attribute.Int("status", x.w.status), attribute.Int("tries", x.tries), attribute.String("cache", string(x.outcome)))
		if path := x.behavior.path(); path != "" && len(x.behaviors) > 0 {
			x.span.SetAttributes(attribute.String("behavior", path), attribute.String("policy", x.policy.Name), attribute.String("cache.policy", x.caching().Name), attribute.String("behavior.why", x.behavior.Why))
		}
	}
	if x.version != "" || x.stage != nil {
		x.span.SetAttributes(attribute.String("rollout", x.arm()), attribute.String("rollout.why", x.assigned))
	}
	x.span.End()
}

// lines holds what lines of the node's log are made of.
var lines = sync.Pool{New: func() any { return new([]slog.Attr) }}

// logged writes the request's line in the node's log. It goes past slog.Logger,
// which would ask where this is, and to the handler as one group without a name,
// which needs no memory of its own.
func (x *exchange) logged(took time.Duration) {
	h := x.deps.Log.Handler()
	if !h.Enabled(x.r.Context(), slog.LevelInfo) {
		return
	}
	line := lines.Get().(*[]slog.Attr)
	*line = x.said(x.met((*line)[:0], took))
	rec := slog.NewRecord(x.start.Add(took), slog.LevelInfo, "request", 0)
	rec.AddAttrs(slog.Attr{Value: slog.GroupValue(*line...)})
	h.Handle(x.r.Context(), rec)
	clear(*line)
	lines.Put(line)
}

// met appends what every request has met.
func (x *exchange) met(attrs []slog.Attr, took time.Duration) []slog.Attr {
	return append(attrs,
		slog.String("request", x.id), slog.String("trace", trace.SpanContextFromContext(x.r.Context()).TraceID().String()),
		slog.String("region", string(x.choice.Region)), slog.String("why", x.choice.Why), slog.Int("tries", x.tries),
		slog.String("client", x.r.RemoteAddr), slog.String("protocol", x.r.Proto),
		slog.String("method", x.r.Method), slog.String("host", x.r.Host), slog.String("path", x.at.path),
		slog.Int("status", x.w.status), slog.Int64("bytes", x.w.bytes), slog.Duration("took", took))
}

// said appends what not every request has met.
func (x *exchange) said(attrs []slog.Attr) []slog.Attr {
	if path := x.behavior.path(); path != "" && len(x.behaviors) > 0 {
		attrs = append(attrs, slog.String("behavior", path), slog.String("policy", x.policy.Name), slog.String("cache_policy", x.caching().Name))
	}
	if x.stage != nil {
		attrs = append(attrs, slog.String("rollout", x.arm()), slog.String("rollout_why", x.assigned))
	}
	if x.asked.path != "" {
		attrs = append(attrs, slog.String("asked", x.asked.String(x.asked.query != "")))
	}
	for _, m := range []struct{ name, value string }{{"guard", x.guarded}, {"page", x.seat}, {"cache", string(x.outcome)}, {"grpc_status", x.called}} {
		if m.value != "" {
			attrs = append(attrs, slog.String(m.name, m.value))
		}
	}
	if !x.began.IsZero() {
		attrs = append(attrs, slog.Duration("first_byte", x.began.Sub(x.start)))
	}
	attrs = append(attrs, tunneled(x.ended)...)
	if x.err != nil {
		attrs = append(attrs, slog.String("error", x.err.Error()))
	}
	return attrs
}
