package postgres

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

func nothing() {}

// span starts a span for a group of an invocation that is traced, and returns
// what ends it.
func (c *client) span(name, where, why string) (end func()) {
	ctx := c.env.context()
	if ctx == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return nothing
	}
	_, s := c.p.deps.Tracer.Start(ctx, name, trace.WithAttributes(attribute.String("where", where), attribute.String("why", why)))
	return func() { s.End() }
}
