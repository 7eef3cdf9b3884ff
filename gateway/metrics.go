package gateway

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/gateway/placement"
)

// metrics are the gateway's. Routes and functions are a closed set: those of
// the API.
type metrics struct {
	requests    *prometheus.CounterVec   // by route and class of status
	latency     *prometheus.HistogramVec // by route
	integration *prometheus.HistogramVec // by function
	placements  *prometheus.CounterVec   // by place and the rule that decided
	forward     prometheus.Histogram
	loads       *prometheus.CounterVec // by result
	badTokens   prometheus.Counter
	primaryAway prometheus.Counter
	stale       prometheus.Counter
	cuts        *prometheus.CounterVec // by cause
	lostWrites  *prometheus.CounterVec
	once        *prometheus.CounterVec // by what became of the request
}

func newMetrics(reg prometheus.Registerer, b *budget) (*metrics, error) {
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 16) // 0.5 ms to 16 s
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_gateway_requests_total", Help: "Requests by route and class of status."}, []string{"route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_gateway_request_seconds", Help: "From the request's headers to the end of the answer.", Buckets: buckets}, []string{"route"}),
		integration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_gateway_integration_seconds", Help: "From the invocation to the end of the function's output.", Buckets: buckets}, []string{"function"}),
		placements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_gateway_placements_total", Help: "Requests by where their function ran, and the rule that decided."}, []string{"where", "rule"}),
		forward: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_gateway_forward_seconds", Help: "Of requests that ran in the primary's region: the trip there, the function, and the answer.", Buckets: buckets}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_gateway_loads_total", Help: "API files read, by result."}, []string{"result"}),
		badTokens: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_gateway_bad_tokens_total", Help: "Requests with a consistency token that could not be read, or that no region gave."}),
		primaryAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_gateway_primary_away_total", Help: "Answers 503 because the primary could not be reached."}),
		lostWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_gateway_lost_writes_told_total", Help: "Requests that were answered with what became of their caller's last write, after a failover, by what that is."}, []string{"outcome"}),
		once: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_gateway_idempotent_requests_total", Help: "Requests with an Idempotency-Key, by what became of them."}, []string{"outcome"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_gateway_connections_cut_total", Help: "Connections, streams and messages of strangers that the public port refused or ended for what their client did, by cause."}, []string{"cause"}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_gateway_stale_answers_total", Help: "Answers that rest on older data than was promised, and say so."}),
	}
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_gateway_body_bytes", Help: "Bytes of bodies held now."}, func() float64 { return float64(b.held.Load()) })
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.latency, m.integration, m.placements, m.forward, m.loads, m.badTokens, m.primaryAway, m.stale, m.lostWrites, m.once, m.cuts, held} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("gateway metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) done(x *exchange, took time.Duration) {
	route := x.routeKey()
	m.requests.WithLabelValues(route, strconv.Itoa(x.note.status/100)+"xx").Inc()
	m.latency.WithLabelValues(route).Observe(took.Seconds())
	if x.note.placed != "" {
		m.placements.WithLabelValues(string(x.note.where.Where), string(x.note.where.Rule)).Inc()
	}
	if x.note.forward > 0 && x.note.where.Where == placement.AtPrimary {
		m.forward.Observe(x.note.forward.Seconds())
	}
	if x.note.integration > 0 {
		m.integration.WithLabelValues(x.route.Function).Observe(x.note.integration.Seconds())
	}
}

func (m *metrics) loaded(err error) {
	result := "ok"
	if err != nil {
		result = "refused"
	}
	m.loads.WithLabelValues(result).Inc()
}
