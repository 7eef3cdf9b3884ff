package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/gateway/event"
	"meridian/gateway/ledger"
	"meridian/gateway/placement"
)

// A note is what an exchange remembers for the record.
type note struct {
	status      int
	length      int64
	why         string // of the route, or of the refusal before it
	admitted    string // why the caller may, or may not, use the route
	err         string
	kind        meridian.Kind
	integration time.Duration
	seen        meridian.Observation
	invoked     bool               // the function may have got the event
	placed      meridian.Region    // where the request ran; "" if that was not asked
	where       placement.Decision // why there
	counted     bool               // the trips that it took, or would have taken, are known
	once        ledger.Decision    // what became of it by its key
	out         *event.Response    // of the function
	forward     time.Duration      // of the trip to another region, and what ran there
}

// routeKey is the route for logs and metrics.
func (x *exchange) routeKey() string {
	if x.route == nil {
		return "none"
	}
	return x.route.Key.String()
}

// reasons are that of the route, and that of the place if there was a choice.
func (n *note) reasons() string {
	if n.where.Why == "" {
		return n.why
	}
	return n.why + "; " + n.where.Why
}

// record writes the access log, the metrics and the span's attributes.
func (x *exchange) record() {
	took := time.Since(x.began)
	x.g.metrics.done(x, took)
	x.log(took)
	x.endSpan()
}

// log writes one record, with the names of API Gateway's $context variables.
func (x *exchange) log(took time.Duration) {
	level := slog.LevelInfo
	if x.note.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	ctx, log := x.r.Context(), x.g.deps.Log
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", x.id),
		slog.String("requestId", x.id),
		slog.String("httpMethod", x.r.Method),
		slog.String("path", x.path),
		slog.String("protocol", x.caller.protocol),
		slog.String("domainName", hostOf(x.r)),
		slog.String("stage", x.g.cfg.Stage),
		slog.String("routeKey", x.routeKey()),
		slog.Int("status", x.note.status),
		slog.Int64("responseLength", x.note.length),
		slog.Int64("responseLatency", took.Milliseconds()),
		slog.String("identity.sourceIp", x.caller.ip),
		slog.String("identity.userAgent", x.r.UserAgent()),
		slog.String("why", x.note.why),
	}
	log.LogAttrs(ctx, level, "request", append(attrs, x.details()...)...)
}

// details are the attributes of what only some requests have.
func (x *exchange) details() (attrs []slog.Attr) {
	if x.note.integration > 0 {
		attrs = append(attrs, slog.String("function", x.route.Function), slog.Int64("integrationLatency", x.note.integration.Milliseconds()))
	}
	if x.note.placed != "" {
		attrs = append(attrs, slog.String("placed", string(x.note.placed)), slog.String("placedWhy", x.note.where.Why))
	}
	if x.note.counted {
		attrs = append(attrs, slog.Int("trips", x.note.seen.Trips))
	}
	if x.note.forward > 0 {
		attrs = append(attrs, slog.Int64("forwardLatency", x.note.forward.Milliseconds()))
	}
	if x.note.once.Do != "" {
		attrs = append(attrs, slog.String("once", string(x.note.once.Do)), slog.String("onceWhy", x.note.once.Why))
	}
	if x.note.seen.Stale != "" {
		attrs = append(attrs, slog.String("stale", x.note.seen.Stale))
	}
	if x.who != nil {
		attrs = append(attrs, slog.String("authorizer.principalId", x.who.ID))
	}
	if x.note.admitted != "" {
		attrs = append(attrs, slog.String("authorizer.why", x.note.admitted))
	}
	if x.note.err != "" {
		attrs = append(attrs, slog.String("error.message", x.note.err))
	}
	if x.note.kind != "" {
		attrs = append(attrs, slog.String("error.kind", string(x.note.kind)))
	}
	return attrs
}

// startSpan begins a span if the caller's traceparent asks for one.
func (x *exchange) startSpan() {
	ctx := propagation.TraceContext{}.Extract(x.r.Context(), propagation.HeaderCarrier(x.r.Header))
	x.span = trace.SpanFromContext(ctx)
	if x.span.SpanContext().IsValid() {
		_, x.span = x.g.deps.Tracer.Start(ctx, "gateway", trace.WithSpanKind(trace.SpanKindServer))
	}
}

func (x *exchange) endSpan() {
	if !x.span.IsRecording() {
		return
	}
	o := x.note.seen
	x.span.SetAttributes(
		attribute.String("hop", "gateway"),
		attribute.String("region", string(x.g.cfg.Region)),
		attribute.String("request", x.id),
		attribute.String("route", x.routeKey()),
		attribute.String("why", x.note.reasons()),
		attribute.String("admitted", x.note.admitted),
		attribute.Int("status", x.note.status),
		attribute.String("floor", x.floor.String()),
		attribute.String("observed", o.Token.String()),
		attribute.Int("statements.local", o.Local),
		attribute.Int("statements.forwarded", o.Forwarded),
		attribute.Float64("waited_ms", float64(o.Waited)/float64(time.Millisecond)),
	)
	if x.note.placed != "" {
		x.span.SetAttributes(attribute.String("placed", string(x.note.placed)), attribute.String("placed.rule", string(x.note.where.Rule)))
	}
	if x.note.seen.Stale != "" {
		x.span.SetAttributes(attribute.String("stale", x.note.seen.Stale))
	}
	if x.note.once.Do != "" {
		x.span.SetAttributes(attribute.String("once", string(x.note.once.Do)), attribute.String("once.why", x.note.once.Why))
	}
	if x.note.counted {
		x.span.SetAttributes(attribute.Int("trips", o.Trips))
	}
	if x.note.status >= http.StatusInternalServerError {
		x.span.SetStatus(codes.Error, x.note.err)
	}
	x.span.End()
}

// traceparent returns the W3C form of the context's span, or "".
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
