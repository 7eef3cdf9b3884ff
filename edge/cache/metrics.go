package cache

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge/cache/disk"
)

// Metrics of a cache.
type metrics struct {
	requests *prometheus.CounterVec // by outcome
	stored   prometheus.Counter
	evicted  prometheus.Counter
	purged   prometheus.Counter
	recalled prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, c *Cache) (*metrics, error) {
	s := c.store
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_edge_cache_requests_total", Help: "Requests that the cache looked for, by how they were answered.",
		}, []string{"outcome"}),
		stored:   prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_stored_total", Help: "Responses that were stored, or renewed."}),
		evicted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_evicted_total", Help: "Resources that made room for others."}),
		purged:   prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_purged_total", Help: "Stored responses that were purged, invalidated, or made stale."}),
		recalled: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_edge_cache_recalled_total", Help: "Stored responses that were found on disk, and not in memory."}),
	}
	if reg == nil {
		return m, nil
	}
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_edge_cache_bytes", Help: "Memory that stored responses take."},
		func() float64 { return float64(s.objects.WeightedSize()) })
	objects := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_edge_cache_resources", Help: "Resources of which a response is stored."},
		func() float64 { return float64(s.objects.EstimatedSize()) })
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.stored, m.evicted, m.purged, m.recalled, bytes, objects} {
		errs = append(errs, reg.Register(c))
	}
	for _, x := range c.tier.metrics() {
		errs = append(errs, reg.Register(x))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the cache's metrics: %w", err)
	}
	return m, nil
}

// metrics of the disk. They are there without one, too, and then 0.
func (t *tier) metrics() []prometheus.Collector {
	stat := func(f func(disk.Stats) float64) func() float64 {
		return func() float64 {
			if t == nil {
				return 0
			}
			return f(t.Stats())
		}
	}
	gauge := func(name, help string, f func(disk.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_edge_cache_disk_" + name, Help: help}, stat(f))
	}
	counter := func(name, help string, f func(disk.Stats) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "meridian_edge_cache_disk_" + name, Help: help}, stat(f))
	}
	return []prometheus.Collector{
		gauge("bytes", "Disk that stored responses take.", func(s disk.Stats) float64 { return float64(s.Bytes) }),
		gauge("responses", "Responses that are stored on disk.", func(s disk.Stats) float64 { return float64(s.Entries) }),
		counter("written_total", "Responses that were written to disk.", func(s disk.Stats) float64 { return float64(s.Written) }),
		counter("evicted_total", "Responses on disk that made room for others.", func(s disk.Stats) float64 { return float64(s.Evicted) }),
		counter("skipped_total", "Responses that were not written: too large, or too much waited for the disk.", func(s disk.Stats) float64 { return float64(s.Skipped) }),
		counter("damaged_total", "Responses on disk that could not be read, and were dropped.", func(s disk.Stats) float64 { return float64(s.Damaged) }),
		counter("failures_total", "Writes that the disk refused.", func(s disk.Stats) float64 { return float64(s.Fails) }),
	}
}
