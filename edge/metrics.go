package edge

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/edge/compress"
	"meridian/edge/origin"
)

// metrics is what the edge counts. The labels are closed sets: regions of the
// map, classes of status, causes of a choice.
type metrics struct {
	requests *prometheus.CounterVec   // by region, cause, class
	seconds  *prometheus.HistogramVec // by region
	failures *prometheus.CounterVec   // of attempts, by region, sent, again
	circuits *prometheus.CounterVec   // that turned, by region, phase, by
	hedges   *prometheus.CounterVec   // by region, result
	encoding *prometheus.CounterVec   // by coding, how
	inFlight prometheus.Gauge
	tunnels  prometheus.Gauge
	peers    *prometheus.CounterVec // by why
	refused  *prometheus.CounterVec // by the guard, by what of it and why
	swapped  prometheus.Counter
	rollout  *prometheus.CounterVec // by version, class
	percent  prometheus.Gauge
	back     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		peers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_proxy_protocol_refusals_total", Help: "Connections that were refused by the rule of the PROXY protocol, by why: untrusted, missing, malformed, not-tcp.",
		}, []string{"why"}),
		tunnels: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_edge_tunnels", Help: "WebSocket connections that are open.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_requests_total", Help: "Requests answered, by the region that was chosen, why, and class of status.",
		}, []string{"region", "cause", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_edge_request_seconds", Help: "Time from a request's headers to the end of its response.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"region"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_attempt_failures_total", Help: "Attempts that a region did not answer, by whether the request may have been sent, and whether it went on to another.",
		}, []string{"region", "sent", "again"}),
		circuits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_circuit_turns_total", Help: "Turns of a region's circuit, by what it became, and by what it had been opened.",
		}, []string{"region", "phase", "by"}),
		hedges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_hedges_total", Help: "Reads sent to a second region because the first was late, by the second region, and whether it won, lost, failed, or was over the budget and not sent.",
		}, []string{"region", "result"}),
		encoding: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_encoded_total", Help: "Responses that were sent encoded, by coding, and whether the body was kept so, was made to be kept, was encoded as it passed, or was sent plain because too many were being encoded.",
		}, []string{"coding", "how"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_edge_requests_in_flight", Help: "Requests that are being answered.",
		}),
		refused: newRefused(),
	}
	m.swapped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_edge_rules_swapped_total", Help: "Times that behaviours, policies and origins were replaced while the edge ran.",
	})
	m.rollout = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_edge_rollout_requests_total", Help: "Requests answered during rollouts, by the version that they were given, current or staged, and class of status.",
	}, []string{"version", "class"})
	m.percent = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "meridian_edge_rollout_percent", Help: "Percentage that the staged rules are given to; 0: there are none, or a header alone has them.",
	})
	m.back = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_edge_rollouts_rolled_back_total", Help: "Staged rules that were rolled back, by this edge's judgement or another's.",
	})
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.failures, m.circuits, m.hedges, m.encoding, m.tunnels, m.peers, m.inFlight, m.refused, m.swapped, m.rollout, m.percent, m.back} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the edge's metrics: %w", err)
	}
	return m, nil
}

func newRefused() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_edge_guard_refusals_total", Help: "Requests that the edge's guard did not let in, by what refused them, and why.",
	}, []string{"guard", "why"})
}

// newForgotten tells of clients for whom there was no room.
func newForgotten(count func() int64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "meridian_edge_limit_clients_forgotten_total", Help: "Clients with a rate limit that were forgotten before they could ask for all again, for want of room.",
	}, func() float64 { return float64(count()) })
}

func (m *metrics) guarded(guard, why string) { m.refused.WithLabelValues(guard, why).Inc() }

// classes are the classes of statuses, by their first digit; 0 is that of no status.
var classes = [10]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx"}

func (m *metrics) observe(c origin.Choice, status int, took time.Duration) {
	m.requests.WithLabelValues(string(c.Region), string(c.Cause), classes[status/100%10]).Inc()
	m.seconds.WithLabelValues(string(c.Region)).Observe(took.Seconds())
}

func (m *metrics) tallied(staged bool, status int) {
	m.rollout.WithLabelValues(map[bool]string{false: "current", true: "staged"}[staged], classes[status/100%10]).Inc()
}

// queues tells how much later than usual each region answers.
type queues struct {
	desc *prometheus.Desc
	edge *Edge
}

func newQueues(e *Edge) *queues {
	return &queues{prometheus.NewDesc("meridian_edge_queue_seconds", "How much later than usual a region answers now.", []string{"region"}, nil), e}
}

func (q *queues) Describe(ch chan<- *prometheus.Desc) { ch <- q.desc }

func (q *queues) Collect(ch chan<- prometheus.Metric) {
	for _, r := range q.edge.deps.Map.Now().Regions {
		ch <- prometheus.MustNewConstMetric(q.desc, prometheus.GaugeValue, q.edge.origin.Queue(r.Name).Seconds(), string(r.Name))
	}
}

func (m *metrics) hedged(r meridian.Region, result string) {
	m.hedges.WithLabelValues(string(r), result).Inc()
}

func (m *metrics) turned(r meridian.Region, c origin.Circuit) {
	m.circuits.WithLabelValues(string(r), c.Phase.String(), string(c.By)).Inc()
}

func (m *metrics) failed(err error, again bool) {
	var e *origin.Error
	if errors.As(err, &e) {
		m.failures.WithLabelValues(string(e.Region), string(e.Sent), strconv.FormatBool(again)).Inc()
	}
}

func (m *metrics) encode(c compress.Coding, how string) {
	m.encoding.WithLabelValues(string(c), how).Inc()
}
