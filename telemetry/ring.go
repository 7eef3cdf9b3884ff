package telemetry

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A Span is one hop's part of a trace, as `meridian trace` shows it.
type Span struct {
	Trace  string            `json:"trace"`
	ID     string            `json:"id"`
	Parent string            `json:"parent,omitempty"`
	Name   string            `json:"name"`
	Node   string            `json:"node"`
	Start  time.Time         `json:"start"` // on the clock of the span's node
	Took   time.Duration     `json:"took"`  // nanoseconds
	Attrs  map[string]string `json:"attrs,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// A Ring keeps the newest spans that ended on this node. It is a
// sdktrace.SpanProcessor.
type Ring struct {
	mu    sync.Mutex // guards what follows
	spans []Span
	next  int
}

// NewRing returns a ring of n spans.
func NewRing(n int) *Ring { return &Ring{spans: make([]Span, n)} }

// Of returns the spans of a trace (32 hexadecimal digits) that are still
// there, in the order in which they ended.
func (r *Ring) Of(traceID string) (out []Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.spans {
		if s := r.spans[(r.next+i)%len(r.spans)]; s.Trace == traceID && traceID != "" {
			out = append(out, s)
		}
	}
	return out
}

// OnEnd keeps a span that was sampled.
func (r *Ring) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	kept := Span{
		Trace: s.SpanContext().TraceID().String(), ID: s.SpanContext().SpanID().String(),
		Name: s.Name(), Start: s.StartTime(), Took: s.EndTime().Sub(s.StartTime()),
		Error: s.Status().Description, Attrs: map[string]string{},
	}
	if s.Parent().IsValid() {
		kept.Parent = s.Parent().SpanID().String()
	}
	for _, kv := range s.Resource().Attributes() {
		if kv.Key == "node" {
			kept.Node = kv.Value.AsString()
		}
	}
	for _, kv := range s.Attributes() {
		kept.Attrs[string(kv.Key)] = kv.Value.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans[r.next] = kept
	r.next = (r.next + 1) % len(r.spans)
}

// OnStart does nothing.
func (r *Ring) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// Shutdown does nothing: the ring holds no resources.
func (r *Ring) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing: a span is kept as it ends.
func (r *Ring) ForceFlush(context.Context) error { return nil }
