package lambda_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"meridian"
	"meridian/lambda"
)

func TestSpanSaysWhereAndWhy(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("")
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "seen")}}, lambda.Deps{Tracer: tracer})
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for range 2 {
		r := h.invokeContext(t.Context(), meridian.Invocation{Function: "seen", Event: event("do", "echo"), Trace: parent})
		if r.err != nil {
			t.Fatal(r.err)
		}
		if !strings.HasPrefix(r.Trace, "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=") || strings.Contains(r.Trace, "b7ad6b7169203331") {
			t.Errorf("the function's parent is not the span: %s", r.Trace)
		}
		h.until("seen", func(s lambda.Stats) bool { return s.Envs[0].Waiting == 1 })
	}
	want := []map[string]string{
		{"function": "seen", "cold start": "true", "why": "no environment runs"},
		{"function": "seen", "cold start": "false", "why": "seen-1-"},
	}
	for i, s := range spans.Ended() {
		if s.Name() != "lambda.invoke" || s.Parent().SpanID().String() != "b7ad6b7169203331" {
			t.Errorf("span %s below %s", s.Name(), s.Parent().SpanID())
		}
		got := map[string]string{}
		for _, a := range s.Attributes() {
			got[string(a.Key)] = a.Value.String()
		}
		for key, val := range want[i] {
			if !strings.HasPrefix(got[key], val) {
				t.Errorf("invocation %d: %s is %q, want %q", i, key, got[key], val)
			}
		}
	}
}

func TestInvocationsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "counted")}}, lambda.Deps{Metrics: reg})
	h.must("counted", "do", "echo")
	h.invoke("counted", "do", "fail")
	h.invoke("counted", "do", "exit")
	h.logs.line(t, "function crashed")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				if l.GetName() == "result" {
					name += " " + l.GetValue()
				}
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"meridian_lambda_invocations_total ok": 1, "meridian_lambda_invocations_total internal": 1, "meridian_lambda_invocations_total crashed": 1,
		"meridian_lambda_cold_starts_total": 1, "meridian_lambda_crashes_total": 1, "meridian_lambda_invocation_seconds": 3, "meridian_lambda_in_flight": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestNothingRemainsAfterRun(t *testing.T) {
	fn := function(t, "tidy")
	fn.Concurrency, fn.Min = 8, 1
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	h.must("tidy", "do", "echo")
	h.invoke("tidy", "do", "exit")
	h.must("tidy", "do", "echo")
	h.stop()
	// A connection's goroutine says that it has ended just before it has.
	stack := make([]byte, 1<<20)
	for late := time.After(patience); ; {
		text := string(stack[:runtime.Stack(stack, true)])
		if !strings.Contains(text, "meridian/lambda.(*") && !strings.Contains(text, "meridian/lambda/sandbox.") && !strings.Contains(text, "net/http.(*conn)") {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			t.Fatal(text)
		}
	}
}
