package cert

import "github.com/prometheus/client_golang/prometheus"

// Collector returns what there is to measure of a store: how long until the first
// of the certificates in use ends.
func (s *Store) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_edge_certificate_seconds_left", Help: "Time until the first of the certificates in use ends; less than 0 once it has.",
	}, s.left)
}

func (s *Store) left() (seconds float64) {
	for i, leaf := range s.Certificates() {
		if d := leaf.NotAfter.Sub(s.cfg.Now()).Seconds(); i == 0 || d < seconds {
			seconds = d
		}
	}
	return seconds
}
