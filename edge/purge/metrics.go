package purge

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	edges   *prometheus.CounterVec // by result
	seconds prometheus.Histogram
	dropped prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		edges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_purge_edges_total", Help: "Messages with purges to edges, by whether the edge has applied them or the log will tell it.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_purge_seconds", Help: "Time until every edge had applied purges that this node sent.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 12),
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_purge_invalidations_dropped_total", Help: "Invalidations by unsafe requests that did not go to the other edges: they came too fast.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	if err := errors.Join(reg.Register(m.edges), reg.Register(m.seconds), reg.Register(m.dropped)); err != nil {
		return nil, fmt.Errorf("register the metrics of purges: %w", err)
	}
	return m, nil
}

func (m *metrics) observe(o Outcome) {
	for _, r := range o.Edges {
		result := "done"
		if !r.Done {
			result = "pending"
		}
		m.edges.WithLabelValues(result).Inc()
	}
	if o.Done() {
		m.seconds.Observe(o.Took.Seconds())
	}
}
