package rtt

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestZeroEstimateSaysNothing(t *testing.T) {
	var e Estimate
	if last, at := e.Last(); e.Min() != 0 || e.P50() != 0 || last != 0 || !at.IsZero() {
		t.Error("an estimate without samples has values")
	}
}

func TestMedianIgnoresOutliers(t *testing.T) {
	var e Estimate
	now := time.Unix(1000, 0)
	for i, d := range []time.Duration{70 * ms, 900 * ms, 71 * ms, 72 * ms, 800 * ms} {
		e.Add(d, now.Add(time.Duration(i)*300*ms))
	}
	if e.P50() != 72*ms || e.Min() != 70*ms {
		t.Errorf("median %v, minimum %v; want 72ms, 70ms", e.P50(), e.Min())
	}
}

// A path that becomes longer is believed within a minute by the minimum, and
// within half of the kept samples by the median.
func TestLongerPathIsNoticed(t *testing.T) {
	var e Estimate
	now := time.Unix(1000, 0)
	for range kept {
		e.Add(70*ms, now)
		now = now.Add(300 * ms)
	}
	for i := range kept/2 + 1 {
		if e.P50() != 70*ms {
			t.Fatalf("the median followed after %d samples", i)
		}
		e.Add(200*ms, now)
		now = now.Add(300 * ms)
	}
	if e.P50() != 200*ms || e.Min() != 70*ms {
		t.Errorf("median %v, minimum %v; want 200ms, 70ms", e.P50(), e.Min())
	}
	for end := now.Add(2 * halfLife); now.Before(end); now = now.Add(300 * ms) {
		e.Add(200*ms, now)
	}
	if e.Min() != 200*ms {
		t.Errorf("minimum after a minute = %v", e.Min())
	}
}
