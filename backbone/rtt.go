package backbone

import (
	"time"

	"meridian/internal/rtt"
)

// RTT is what is known of the round trip to a node.
type RTT struct {
	Min  time.Duration // the least of the last minute: the path itself
	P50  time.Duration // the median of the last pings: what a request meets
	Last time.Duration
	At   time.Time // of the last
}

// Observe takes a measured round trip to a node. The health prober's pings feed
// it, and nothing else: one source, one truth.
func (b *Backbone) Observe(node string, sample time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.rtts[node]
	if e == nil {
		e = new(rtt.Estimate)
		b.rtts[node] = e
	}
	e.Add(sample, time.Now())
	b.metrics.rtt.WithLabelValues(node, "min").Set(e.Min().Seconds())
	b.metrics.rtt.WithLabelValues(node, "p50").Set(e.P50().Seconds())
}

// RTT returns the round trip to a node, if it was ever measured.
func (b *Backbone) RTT(node string) (RTT, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.rtts[node]
	if e == nil {
		return RTT{}, false
	}
	last, at := e.Last()
	return RTT{Min: e.Min(), P50: e.P50(), Last: last, At: at}, true
}
