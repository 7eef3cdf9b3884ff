package backbone

import (
	"io"
	"syscall"
	"testing"
	"time"
)

// BenchmarkExchange is a small message there and back on a stream, 20 ms
// apart; "cpu-µs" is what both ends and the simulated line cost together.
func BenchmarkExchange(b *testing.B) {
	w := newWorld(b, 20*ms, "gru", "fra")
	c, err := w.nodes["fra"].Open(b.Context(), "gru", "echo")
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 64)
	io.ReadFull(c, buf[:4])
	before := cpu()
	for b.Loop() {
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
