package edge

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSpansSayWhereAndWhy(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	g, saw := capturing()
	reg := prometheus.NewRegistry()
	w := newWorld(t, []*region{g}, func(_ *Config, d *Deps, _ *world) {
		d.Tracer, d.Metrics = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test"), reg
	})
	w.do("GET", "/", "", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	w.until("traced", func() bool { return len(spans.Ended()) == 2 })
	origin, edge := spans.Ended()[0], spans.Ended()[1]
	if origin.Name() != "origin" || edge.Name() != "edge" || origin.Parent().SpanID() != edge.SpanContext().SpanID() || edge.Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("%s in %s in %s", origin.Name(), edge.Name(), edge.Parent().SpanID())
	}
	if want := origin.SpanContext().SpanID().String(); !strings.Contains((<-saw).Header.Get("Traceparent"), want) {
		t.Errorf("the region was not sent span %s", want)
	}
	said := attribute.NewSet(edge.Attributes()...)
	for key, want := range map[attribute.Key]string{"place": "eu-west-1", "region": "eu-west-1", "why": "nearest, 0 ms away"} {
		if v, _ := said.Value(key); v.AsString() != want {
			t.Errorf("%s is %q, want %q", key, v.AsString(), want)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "meridian_edge_requests_total" && f.GetMetric()[0].GetCounter().GetValue() == 1 {
			return
		}
	}
	t.Errorf("the request was not counted: %v", families)
}

// TestATraceGoesThroughTheShield: the spans of a miss are one chain, from the
// edge that the client asked to the region, through the shield's edge.
func TestATraceGoesThroughTheShield(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	s := newShieldWorld(t, 1, func(w http.ResponseWriter, _ *http.Request) { cacheable(w, "x") }, func(_ *Config, d *Deps, _ *world) {
		d.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	})
	s.edges[0].do("GET", "/x", "", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	s.edges[0].until("traced", func() bool { return len(spans.Ended()) == 4 })
	by, chain := map[string]sdktrace.ReadOnlySpan{}, ""
	for _, sp := range spans.Ended() {
		by[sp.Parent().SpanID().String()] = sp
	}
	for at := by["b7ad6b7169203331"]; at != nil; at = by[at.SpanContext().SpanID().String()] {
		said := attribute.NewSet(at.Attributes()...)
		place, _ := said.Value("place")
		chain += at.Name() + "@" + place.AsString() + " "
	}
	if want := "edge@eu-west-1 shield@us-east-1 edge@us-east-1 origin@ "; chain != want {
		t.Errorf("%s, want %s", chain, want)
	}
}
