package instance

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	up      prometheus.Gauge
	starts  prometheus.Counter
	clones  prometheus.Counter
	rewinds prometheus.Counter

	borrowed prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, cfg Config) metrics {
	labels := prometheus.Labels{"region": string(cfg.Region), "database": cfg.Database}
	m := metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_postgres_up", ConstLabels: labels,
			Help: "1 while the region's PostgreSQL accepts connections.",
		}),
		starts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_postgres_starts_total", ConstLabels: labels,
			Help: "How often the region's PostgreSQL was started.",
		}),
		clones: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_postgres_clones_total", ConstLabels: labels,
			Help: "How often the whole database was copied anew.",
		}),
		borrowed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_postgres_borrowed_total", ConstLabels: labels,
			Help: "How often lost data was copied from a further standby of the same region.",
		}),
		rewinds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_postgres_rewinds_total", ConstLabels: labels,
			Help: "How often log that the primary lacks was undone.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.up, m.starts, m.clones, m.borrowed, m.rewinds)
	}
	return m
}
