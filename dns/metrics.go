package dns

import (
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the name server does. The values of type and rcode are
// closed sets, those of edge and region the places of the config.
type metrics struct {
	queries *prometheus.CounterVec
	edges   *prometheus.CounterVec
	regions *prometheus.CounterVec
	dropped prometheus.Counter
	turned  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_dns_queries_total", Help: "Queries answered, by transport, type and response code."}, []string{"transport", "type", "rcode"}),
		edges:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_dns_edge_answers_total", Help: "Answers that send an asker to an edge."}, []string{"edge"}),
		regions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_dns_region_answers_total", Help: "Answers that send an asker to a region."}, []string{"region"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_dns_dropped_total", Help: "Packets that were not answered: too short, or answers themselves."}),
		turned:  prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_dns_connections_refused_total", Help: "TCP connections closed because too many were open."}),
	}
	if reg != nil {
		reg.MustRegister(m.queries, m.edges, m.regions, m.dropped, m.turned)
	}
	return m
}

func (m *metrics) count(transport string, o outcome) {
	if o.dropped {
		m.dropped.Inc()
		return
	}
	m.queries.WithLabelValues(transport, typeName(o.qtype), dns.RcodeToString[o.rcode]).Inc()
	if o.edge != "" {
		m.edges.WithLabelValues(string(o.edge)).Inc()
	}
	if o.region != "" {
		m.regions.WithLabelValues(string(o.region)).Inc()
	}
}
