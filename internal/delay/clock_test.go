package delay

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// The real clock rings in order, each alarm once, and not early.
func TestClockRings(t *testing.T) {
	clock := NewClock()
	rang := make(chan int, 10)
	start := time.Now()
	for i := range 5 {
		clock.NewAlarm(func() { rang <- i }).Reset(time.Duration(5-i) * 2 * ms)
	}
	stopped := clock.NewAlarm(func() { rang <- 99 })
	stopped.Reset(3 * ms)
	if !stopped.Stop() {
		t.Error("Stop of a set alarm = false")
	}
	for want := 4; want >= 0; want-- {
		if got := <-rang; got != want {
			t.Fatalf("%d rang, want %d", got, want)
		}
		if due := time.Duration(5-want) * 2 * ms; time.Since(start) < due {
			t.Errorf("alarm %d rang %v early", want, due-time.Since(start))
		}
	}
}

// BenchmarkLateness measures how much later than 20 ms a message arrives over
// a line of 40 ms, on real sockets, with the system's clock and with plain
// timers.
func BenchmarkLateness(b *testing.B) {
	for name, clock := range map[string]Clock{"clock": NewClock(), "timers": Timers{}} {
		b.Run(name, func(b *testing.B) { lateness(b, clock, NewLine(40*ms, 40*ms)) })
	}
}

func lateness(b *testing.B, clock Clock, line *Line) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	inner, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	g := NewGroup(clock)
	defer g.Close()
	c := g.Wrap(inner, line)
	var late []time.Duration
	buf := make([]byte, 64)
	for b.Loop() {
		start := time.Now()
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Since(start)-line.RTT())
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "µs-late-p50")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "µs-late-p99")
}
