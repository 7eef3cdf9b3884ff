package function

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what functions cost. The labels are closed sets: the configured
// names, the four events, and good, error, invalid and limit.
type metrics struct {
	runs        *prometheus.CounterVec   // by function, event, result
	seconds     *prometheus.CounterVec   // of the processor, by function
	utilization *prometheus.HistogramVec // by function
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_function_runs_total", Help: "Runs of edge functions, by function, event, and whether it was good, threw an error, returned what it may not, or exceeded a limit.",
		}, []string{"function", "event", "result"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_function_cpu_seconds_total", Help: "Processor time of edge functions.",
		}, []string{"function"}),
		utilization: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_edge_function_utilization", Help: "Share of the time that a run may take which it took.",
			Buckets: []float64{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1},
		}, []string{"function"}),
	}
	if reg == nil {
		return m, nil
	}
	if err := errors.Join(reg.Register(m.runs), reg.Register(m.seconds), reg.Register(m.utilization)); err != nil {
		return nil, fmt.Errorf("register the metrics of functions: %w", err)
	}
	return m, nil
}

func (m *metrics) ran(f *fn, event, result string, used, of time.Duration) {
	m.runs.WithLabelValues(f.Name, event, result).Inc()
	m.seconds.WithLabelValues(f.Name).Add(used.Seconds())
	m.utilization.WithLabelValues(f.Name).Observe(used.Seconds() / of.Seconds())
}
