package lambda

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
)

// metrics are the hop's. The label function has the config's names, result
// "ok" or a Kind.
type metrics struct {
	invocations  *prometheus.CounterVec
	coldStarts   *prometheus.CounterVec
	crashes      *prometheus.CounterVec
	seconds      *prometheus.HistogramVec
	inFlight     *prometheus.GaugeVec
	queue        *prometheus.GaugeVec
	environments *prometheus.GaugeVec
}

// functionMetrics are those of one function.
type functionMetrics struct {
	coldStarts, crashes           prometheus.Counter
	seconds                       prometheus.Observer
	inFlight, queue, environments prometheus.Gauge
	invocations                   *prometheus.CounterVec // still by result
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	name := func(s, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "meridian", Subsystem: "lambda", Name: s, Help: help}
	}
	counter := func(s, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(name(s, help)), labels)
	}
	gauge := func(s, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(name(s, help)), []string{"function"})
	}
	m := &metrics{
		invocations: counter("invocations_total", "Invocations, by what became of them.", "function", "result"),
		coldStarts:  counter("cold_starts_total", "Invocations that waited for a process to start.", "function"),
		crashes:     counter("crashes_total", "Processes that ended without being asked to.", "function"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "meridian", Subsystem: "lambda", Name: "invocation_seconds",
			Help:    "From an invocation's arrival to its answer, waiting included.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 14),
		}, []string{"function"}),
		inFlight:     gauge("in_flight", "Invocations whose caller waits."),
		queue:        gauge("queue", "Invocations that wait for a slot."),
		environments: gauge("environments", "Processes, those that start or leave included."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.invocations, m.coldStarts, m.crashes, m.seconds, m.inFlight, m.queue, m.environments} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("lambda metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) of(function string) functionMetrics {
	return functionMetrics{
		coldStarts: m.coldStarts.WithLabelValues(function), crashes: m.crashes.WithLabelValues(function),
		seconds: m.seconds.WithLabelValues(function), inFlight: m.inFlight.WithLabelValues(function),
		queue: m.queue.WithLabelValues(function), environments: m.environments.WithLabelValues(function),
		invocations: m.invocations.MustCurryWith(prometheus.Labels{"function": function}),
	}
}

// ended counts an invocation that got its answer.
func (m functionMetrics) ended(took time.Duration, cold bool, err error) {
	result := "ok"
	if err != nil {
		result = string(meridian.KindOf(err))
	}
	m.invocations.WithLabelValues(result).Inc()
	m.seconds.Observe(took.Seconds())
	if cold {
		m.coldStarts.Inc()
	}
}
