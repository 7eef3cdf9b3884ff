package cache

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of a cache.
type metrics struct {
	requests *prometheus.CounterVec // by outcome
	stored   prometheus.Counter
	evicted  prometheus.Counter
	purged   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *store) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_cache_requests_total", Help: "Requests that the cache looked for, by how they were answered.",
		}, []string{"outcome"}),
		stored:  prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_stored_total", Help: "Responses that were stored, or renewed."}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_evicted_total", Help: "Resources that made room for others."}),
		purged:  prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_purged_total", Help: "Stored responses that were purged, invalidated, or made stale."}),
	}
	if reg == nil {
		return m, nil
	}
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_edge_cache_bytes", Help: "Memory that stored responses take."},
		func() float64 { return float64(s.objects.WeightedSize()) })
	objects := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_edge_cache_resources", Help: "Resources of which a response is stored."},
		func() float64 { return float64(s.objects.EstimatedSize()) })
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.stored, m.evicted, m.purged, bytes, objects} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the cache's metrics: %w", err)
	}
	return m, nil
}
