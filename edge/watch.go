package edge

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A watch tells the operator of clients whose connections were cut: each in a
// metric, each client and cause once a minute in the log.
type watch struct {
	cuts *prometheus.CounterVec // by cause
	log  *slog.Logger
	now  func() time.Time

	mu   sync.Mutex // guards what follows
	told map[tale]time.Time
}

// A tale is what the log says once a minute.
type tale struct {
	who netip.Prefix
	why Cut
}

const (
	tellAgain = time.Minute
	talesMax  = 4096 // remembered; more of them and some are told too often
)

func newWatch(log *slog.Logger, now func() time.Time) *watch {
	return &watch{log: log, now: now, told: map[tale]time.Time{}, cuts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_edge_connections_cut_total", Help: "Connections and streams that the edge refused or ended for what their client did, by cause.",
	}, []string{"cause"})}
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
func (w *watch) cut(from net.Addr, why Cut, detail string) {
	w.cuts.WithLabelValues(string(why)).Inc()
	who, _ := clientOf(from)
	if w.first(tale{who, why}) {
		w.log.Warn("a client was cut off", "client", from.String(), "cause", string(why), "why", detail)
	}
}

// first reports whether a tale was not told within the last minute.
func (w *watch) first(t tale) bool {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, ok := w.told[t]; ok && now.Sub(at) < tellAgain {
		return false
	}
	if len(w.told) >= talesMax {
		clear(w.told)
	}
	w.told[t] = now
	return true
}
