package health

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	up       *prometheus.GaugeVec
	pings    *prometheus.CounterVec
	rejected prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_health_up",
			Help: "1 while this node sees the peer alive.",
		}, []string{"peer"}),
		pings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_health_pings_total",
			Help: "Pings by outcome: answered, or refused. What is silent is in neither.",
		}, []string{"outcome"}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_health_reports_rejected_total",
			Help: "Reports of other nodes that were dropped, and the last good one kept.",
		}),
	}
	if r != nil {
		r.MustRegister(m.up, m.pings, m.rejected)
	}
	return m
}

func (m *metrics) ping(outcome string) { m.pings.WithLabelValues(outcome).Inc() }

func (m *metrics) saw(peer string, ok bool) {
	v := 0.0
	if ok {
		v = 1
	}
	m.up.WithLabelValues(peer).Set(v)
}
