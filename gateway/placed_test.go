package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"meridian"
	"meridian/gateway"
	"meridian/gateway/placement"
	"meridian/topology"
)

// What no function of the primary's region got may run at home.
func TestARequestWithoutASlotRunsAtHome(t *testing.T) {
	p := newPair(t, &functions{}, fails(meridian.WithKind(meridian.Throttled, errors.New("no slot"))), nil)
	a := p.home.ask(p.home.public, "POST", "/pets", "x")
	a.want(t, 200, "ok")
	a.header(t, "Meridian-Region", "eu-west-1")
	a.header(t, "Meridian-Unplaced", "")
	crashed := newPair(t, &functions{}, fails(meridian.WithKind(meridian.Crashed, errors.New("exit status 2"))), nil)
	crashed.home.ask(crashed.home.public, "POST", "/pets", "x").want(t, 500, internalError)
	if crashed.home.fns.count() != 0 {
		t.Error("a request that a function crashed on ran again")
	}
	p.primary.ask(p.primary.inner, "POST", "/pets", "x").want(t, 429, "")
}

func TestRequestsStayWhileThePrimaryIsAway(t *testing.T) {
	for name, change := range map[string]func(*topology.Region){
		"not healthy": func(r *topology.Region) { r.Healthy = false },
		"drained":     func(r *topology.Region) { r.Drained = true },
		"unknown":     func(r *topology.Region) { r.Primary = false },
		"here":        func(r *topology.Region) { r.Name = "eu-west-1" },
	} {
		p := newPair(t, &functions{}, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Map = atlas(change) })
		if p.home.ask(p.home.public, "POST", "/pets", "").want(t, 200, "ok"); p.home.fns.count() != 1 {
			t.Errorf("%s: the request left", name)
		}
	}
}

// The route is learned from what ran in either region, and the decision shows.
func TestRoutesThatWriteMoreThanOnceMove(t *testing.T) {
	trips := meridian.Observation{Forwarded: 3, Trips: 3}
	reg := prometheus.NewRegistry()
	p := newPair(t, always(`{"statusCode":200,"body":"ok"}`, trips), always(`{"statusCode":200,"body":"ok"}`, meridian.Observation{Trips: 3}), func(c *gateway.Config, d *gateway.Deps) {
		c.Placement = placement.Auto
		if c.Region == "eu-west-1" {
			d.Metrics = reg
		}
	})
	for i := range 21 {
		a := p.home.ask(p.home.public, "GET", "/pets", "")
		if want := []string{"eu-west-1", "us-east-1"}[min(i, 1)]; a.Header.Get("Meridian-Region") != want && i != 9 {
			t.Errorf("request %d ran in %s", i+1, a.Header.Get("Meridian-Region"))
		}
	}
	want := "# HELP meridian_gateway_placements_total Requests by where their function ran, and the rule that decided.\n# TYPE meridian_gateway_placements_total counter\n" +
		`meridian_gateway_placements_total{rule="explored",where="home"} 1` + "\n" +
		`meridian_gateway_placements_total{rule="trips",where="home"} 1` + "\n" +
		`meridian_gateway_placements_total{rule="trips",where="primary"} 19` + "\n"
	p.home.public.Close() // waits for the handlers
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "meridian_gateway_placements_total"); err != nil {
		t.Error(err)
	}
}

// Shared counts of the primary's region are no lesson.
func TestSharedCountsAreNotTold(t *testing.T) {
	for _, shared := range []bool{false, true} {
		p := newPair(t, &functions{}, always(`{"statusCode":200,"body":"ok"}`, meridian.Observation{Trips: 1, Shared: shared}), nil)
		a := p.primary.ask(p.primary.inner, "POST", "/pets", "", "Meridian-Placed", "eu-west-1")
		a.header(t, "Meridian-Trips", map[bool]string{false: "1", true: ""}[shared])
	}
}

// A busy primary keeps those away who gain least, until the news of it fades.
func TestTheLoadIsToldAndHeeded(t *testing.T) {
	release := make(chan struct{})
	busy := &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		<-release
		return says(`{"statusCode":200,"body":"ok"}`), nil
	}}
	p := newPair(t, &functions{}, busy, func(c *gateway.Config, _ *gateway.Deps) {
		c.Placement = placement.Auto
		c.Functions = map[string]gateway.FunctionLimits{"pets": {AtOnce: 1}}
	})
	done := make(chan answer)
	for range 2 {
		go func() { done <- p.home.ask(p.home.public, "POST", "/pets", "") }() // awaited below
	}
	release <- struct{}{} // the other is still in flight when this one's answer tells the load
	if a := <-done; a.Header.Get("Meridian-Region") != "us-east-1" {
		t.Error("it ran at home")
	}
	if a := p.home.ask(p.home.public, "POST", "/pets", ""); a.Header.Get("Meridian-Region") != "eu-west-1" {
		t.Error("it went to a primary without a free slot")
	}
	close(release)
	<-done
}

// The decision and its reason are in the span of the gateway, and in that of
// the trip; what runs in the other region hangs below it.
func TestTheDecisionIsInTheTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	out := &lines{more: make(chan struct{}, 10)}
	p := newPair(t, &functions{}, &functions{}, func(c *gateway.Config, d *gateway.Deps) {
		d.Tracer = provider.Tracer(string(c.Region))
		if c.Region == "eu-west-1" {
			d.Log = slog.New(slog.NewJSONHandler(out, nil))
		}
	})
	p.home.ask(p.home.inner, "POST", "/pets", "", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if r := out.last(t); r["placed"] != "us-east-1" || r["placedWhy"] != "its route says primary" || r["trips"] != 0.0 {
		t.Errorf("record %v", r)
	}
	p.home.inner.Close() // waits for the handlers
	p.primary.inner.Close()
	found := map[string]map[string]string{}
	parent := map[string]string{}
	ids := map[string]string{}
	for _, s := range spans.Ended() {
		name := s.InstrumentationScope().Name + " " + s.Name()
		ids[s.SpanContext().SpanID().String()] = name
		found[name] = map[string]string{}
		for _, kv := range s.Attributes() {
			found[name][string(kv.Key)] = kv.Value.String()
		}
	}
	for _, s := range spans.Ended() {
		parent[s.InstrumentationScope().Name+" "+s.Name()] = ids[s.Parent().SpanID().String()]
	}
	if parent["us-east-1 gateway"] != "eu-west-1 forward" || parent["eu-west-1 forward"] != "eu-west-1 gateway" {
		t.Errorf("parents %v", parent)
	}
	for name, want := range map[string][2]string{
		"eu-west-1 gateway": {"us-east-1", "static path, exact method; its route says primary"},
		"eu-west-1 forward": {"us-east-1", "its route says primary"},
		"us-east-1 gateway": {"us-east-1", "static path, exact method; eu-west-1 placed it here"},
	} {
		if got := [2]string{found[name]["placed"], found[name]["why"]}; got != want {
			t.Errorf("%s: placed, why = %q, want %q", name, got, want)
		}
	}
}
