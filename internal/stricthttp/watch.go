package stricthttp

import (
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Watch tells the operator of clients that were cut off or refused: each in a
// metric, each client and cause once a minute in the log.
type Watch struct {
	cuts *prometheus.CounterVec
	log  *slog.Logger
	now  func() time.Time

	mu    sync.Mutex // guards what follows
	told  map[tale]time.Time
	swept time.Time // when the old ones were forgotten
}

// A tale is what the log says once a minute.
type tale struct {
	who   netip.Prefix
	cause string
}

const (
	tellAgain = time.Minute
	talesMax  = 4096 // told in a minute: of a flood of addresses, which may be invented, the rest is counted alone
)

// NewWatch returns a watch that counts in cuts, by cause. The causes are a closed
// set, of who calls Cut.
func NewWatch(cuts *prometheus.CounterVec, log *slog.Logger, now func() time.Time) *Watch {
	return &Watch{cuts: cuts, log: log, now: now, told: map[tale]time.Time{}}
}

// Cut counts a client that was cut off, or a message of its that was refused.
func (w *Watch) Cut(from net.Addr, cause, why string) {
	w.cuts.WithLabelValues(cause).Inc()
	who, _ := ClientOf(from)
	first, last := w.first(tale{who, cause})
	if first {
		w.log.Warn("a client was cut off", "client", from.String(), "cause", cause, "why", why)
	}
	if last {
		w.log.Warn("more clients were cut off than the log has room for", "told", talesMax, "within", tellAgain.String())
	}
}

// first reports whether a tale was not told within the last minute, and whether it
// is the last for which there is room.
func (w *Watch) first(t tale) (first, last bool) {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, ok := w.told[t]; ok && now.Sub(at) < tellAgain {
		return false, false
	}
	if len(w.told) >= talesMax && now.Sub(w.swept) >= time.Second {
		w.swept = now
		maps.DeleteFunc(w.told, func(_ tale, at time.Time) bool { return now.Sub(at) >= tellAgain })
	}
	if len(w.told) >= talesMax {
		return false, false
	}
	w.told[t] = now
	return true, len(w.told) == talesMax
}

// ClientOf returns whose connection it is: an IPv4 address, or the /64 of an
// IPv6 address, which one client has whole (RFC 6177). near reports whether it
// is on this machine.
func ClientOf(a net.Addr) (who netip.Prefix, near bool) {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}, false
	}
	ip := p.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	who, _ = ip.Prefix(bits) // bits fit
	return who, ip.IsLoopback()
}
