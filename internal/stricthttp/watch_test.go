package stricthttp

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A flood of addresses, which cost nothing to invent over UDP, does not fill the
// log; each is counted, and the log says that there were more. Control: the others
// before it, and those of the next minute.
func TestAFloodOfAddressesDoesNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(0, 0)
	cuts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cuts"}, []string{"cause"})
	w := NewWatch(cuts, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	from := func(n int) net.Addr {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 1234))
	}
	lines := func() (clients, more int) {
		clients, more = strings.Count(log.String(), "a client was cut off"), strings.Count(log.String(), "more clients were cut off")
		log.Reset()
		return clients, more
	}
	for minute := range 2 {
		for n := range 100_000 {
			w.Cut(from(n), "full", "x")
			now = now.Add(100 * time.Microsecond)
		}
		w.Cut(from(0), "full", "again")
		if clients, more := lines(); clients != talesMax || more != 1 {
			t.Errorf("minute %d: %d clients were told, and %d times that there were more", minute, clients, more)
		}
		now = now.Add(tellAgain)
		w.Cut(from(1), "full", "x")
		if clients, _ := lines(); clients != 1 {
			t.Errorf("minute %d: when it is over, %d were told", minute, clients)
		}
		now = now.Add(tellAgain)
	}
	if n := testutil.ToFloat64(cuts.WithLabelValues("full")); n != 2*100_002 {
		t.Errorf("%v were counted", n)
	}
}
