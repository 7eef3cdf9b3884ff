package backbone

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	accepted *prometheus.CounterVec
	refused  prometheus.Counter
	up       *prometheus.GaugeVec
	rtt      *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_backbone_accepted_total",
			Help: "Connections of other nodes that were accepted.",
		}, []string{"service"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_backbone_refused_total",
			Help: "Connections that were refused: no certificate of ours, or a service that is not here.",
		}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_backbone_link_up",
			Help: "1 while the kept link to a service of a node stands.",
		}, []string{"peer", "service"}),
		rtt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_backbone_rtt_seconds",
			Help: "Round trip to a node: the decayed minimum, and the median of the last pings.",
		}, []string{"peer", "stat"}),
	}
	if r != nil {
		r.MustRegister(m.accepted, m.refused, m.up, m.rtt)
	}
	return m
}

func (m *metrics) linkUp(k linkKey) prometheus.Gauge {
	g := m.up.WithLabelValues(k.node, k.service)
	g.Set(0)
	return g
}
