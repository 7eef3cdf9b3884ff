package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const traceID = "0af7651916cd43dd8448eb211c80319c"

// asked returns a context as of a request whose caller asked for a trace, or
// did not.
func asked(t *testing.T, id string, sampled bool) context.Context {
	t.Helper()
	tid, err := trace.TraceIDFromHex(id)
	if err != nil {
		t.Fatal(err)
	}
	c := trace.SpanContextConfig{TraceID: tid, SpanID: trace.SpanID{1}, Remote: true}
	if sampled {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(c))
}

func TestSpansAreKeptOnlyForWhoAskedForThem(t *testing.T) {
	n := New("eu-west-1/edge", "eu-west-1", &bytes.Buffer{}, slog.LevelInfo)
	for _, ctx := range []context.Context{t.Context(), asked(t, traceID, false)} {
		_, span := n.Tracer.Start(ctx, "edge")
		span.End()
	}
	if got := n.Spans.Of(traceID); len(got) != 0 {
		t.Errorf("kept unasked: %+v", got)
	}
	ctx, outer := n.Tracer.Start(asked(t, traceID, true), "edge", trace.WithAttributes(attribute.String("why", "nearest"), attribute.Int("tries", 2)))
	_, inner := n.Tracer.Start(ctx, "forward")
	inner.SetStatus(codes.Error, "no answer")
	inner.RecordError(errors.New("no answer"))
	inner.End()
	outer.End()
	got := n.Spans.Of(traceID)
	if len(got) != 2 {
		t.Fatalf("%d spans: %+v", len(got), got)
	}
	if s := got[0]; s.Name != "forward" || s.Parent != got[1].ID || s.Error != "no answer" || s.Node != "eu-west-1/edge" {
		t.Errorf("%+v", s)
	}
	if s := got[1]; s.Name != "edge" || s.Parent != "0100000000000000" || s.Attrs["why"] != "nearest" || s.Attrs["tries"] != "2" || s.Took < got[0].Took {
		t.Errorf("%+v", s)
	}
}

func TestTheRingKeepsTheNewest(t *testing.T) {
	n := New("control", "us-east-1", &bytes.Buffer{}, slog.LevelInfo)
	size := len(n.Spans.spans)
	ctx := asked(t, traceID, true)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range size / 2 {
				_, s := n.Tracer.Start(ctx, "old")
				s.End()
			}
		})
	}
	all.Wait()
	for i := range 10 {
		_, s := n.Tracer.Start(ctx, fmt.Sprint("new", i))
		s.End()
	}
	got := n.Spans.Of(traceID)
	if len(got) != size {
		t.Errorf("%d of %d", len(got), size)
	}
	for i, s := range got[size-10:] {
		if s.Name != fmt.Sprint("new", i) {
			t.Errorf("at %d from the end: %s", 10-i, s.Name)
		}
	}
	if got := n.Spans.Of(""); len(got) != 0 {
		t.Errorf("no trace has %d spans", len(got))
	}
	if got := n.Spans.Of(strings.Repeat("0", 32)); len(got) != 0 {
		t.Errorf("another trace has %d spans", len(got))
	}
}

func TestALogLineNamesItsNode(t *testing.T) {
	var b bytes.Buffer
	n := New("eu-west-1/edge", "eu-west-1", &b, slog.LevelInfo)
	n.Log.Debug("unseen")
	n.Log.Info("ready", "hop", "edge")
	var line struct{ Msg, Node, Hop string }
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, b.String())
	}
	if line.Msg != "ready" || line.Node != "eu-west-1/edge" || line.Hop != "edge" {
		t.Errorf("%s", b.String())
	}
}
