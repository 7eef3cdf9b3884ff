package lambda

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"meridian"
)

// withParent returns ctx with the span context of the caller: the one that it
// bears, or else the invocation's traceparent.
func withParent(ctx context.Context, inv meridian.Invocation) context.Context {
	if inv.Trace == "" || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": inv.Trace})
}

// xray returns the X-Ray trace header for a span: Lambda's clients read it from
// Lambda-Runtime-Trace-Id. It is "" without a trace.
func xray(s trace.SpanContext) string {
	if !s.IsValid() {
		return ""
	}
	id, sampled := s.TraceID().String(), "0"
	if s.IsSampled() {
		sampled = "1"
	}
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + s.SpanID().String() + ";Sampled=" + sampled
}
