package edge

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/stricthttp"
)

// A watch tells the operator of clients whose connections were cut.
type watch struct {
	*stricthttp.Watch
	cuts *prometheus.CounterVec // by cause
}

func newWatch(log *slog.Logger, now func() time.Time) *watch {
	cuts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_edge_connections_cut_total", Help: "Connections and streams that the edge refused or ended for what their client did, by cause.",
	}, []string{"cause"})
	return &watch{stricthttp.NewWatch(cuts, log, now), cuts}
}

func (w *watch) register(reg prometheus.Registerer, c *crowd) error {
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_edge_connections", Help: "Connections of clients that are open.",
	}, func() float64 { return float64(c.count()) })
	parked := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_edge_connections_parked", Help: "Of them, idle ones that wait without buffers.",
	}, func() float64 { return float64(c.parked.Load()) })
	return errors.Join(reg.Register(w.cuts), reg.Register(open), reg.Register(parked))
}

// cut counts a connection of a client that was cut.
func (w *watch) cut(from net.Addr, why Cut, detail string) { w.Cut(from, string(why), detail) }
