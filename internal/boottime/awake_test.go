package boottime

import (
	"testing"
	"time"
)

// TestAnAwakeStandsWhileNobodyReadsIt: of a gap a Nap counts, and what is read
// more often counts as a whole.
func TestAnAwakeStandsWhileNobodyReadsIt(t *testing.T) {
	now := time.Hour
	a := &Awake{Clock: func() time.Duration { return now }}
	began := a.Now()
	for _, step := range []struct{ passed, want time.Duration }{
		{Nap / 10, Nap / 10},
		{Nap, Nap + Nap/10},
		{time.Hour, 2*Nap + Nap/10},
		{0, 2*Nap + Nap/10},
		{Nap / 2, 2*Nap + 6*Nap/10},
	} {
		now += step.passed
		if got := a.Now() - began; got != step.want {
			t.Errorf("%v later it went on to %v, want %v", step.passed, got, step.want)
		}
	}
}

func TestTheZeroAwakeReadsTheBootTime(t *testing.T) {
	var a Awake
	before := Now()
	if got := a.Now(); got < before || got > Now() {
		t.Errorf("reads %v at %v", got, before)
	}
}
