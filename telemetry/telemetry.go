// Package telemetry makes what hops are handed to say what they do: a logger,
// a metrics registry and a tracer. Hops never import it.
//
// Traces follow W3C Trace Context. A span is kept only if its caller asked for
// it (the sampled flag of traceparent), in a ring of bounded size, from where
// `meridian trace` fetches it: a world has traces without a collector.
package telemetry

import (
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A Node is the telemetry of one node.
type Node struct {
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Tracer  trace.Tracer
	Spans   *Ring
}

// New returns the telemetry of the node of that name at that place. Logs are
// JSON, a record a line, written to w.
func New(node, place string, w io.Writer, level slog.Leveler) *Node {
	ring := NewRing(4096)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())),
		sdktrace.WithSpanProcessor(ring),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("node", node), attribute.String("region", place))),
	)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})).With("node", node)
	return &Node{Log: log, Metrics: reg, Tracer: provider.Tracer("meridian"), Spans: ring}
}
