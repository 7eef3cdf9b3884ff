package origin

import (
	"testing"
	"time"
)

func TestSecondIsAskedWhereItCanHelp(t *testing.T) {
	const ms = time.Millisecond
	next := Choice{Region: "b", Cause: PassedOver}
	for _, tt := range []struct {
		name string
		late Late
		wait time.Duration
		ok   bool
	}{
		{"late for longer than the way", Late{"a", next, true, 68 * ms, 100 * ms, 10 * time.Second}, 0, true},
		{"late, and the way is longer", Late{"a", next, true, 68 * ms, 5 * ms, 10 * time.Second}, 63 * ms, true},
		{"nobody else", Late{"a", Choice{Region: "a", Cause: LastResort}, true, 0, 100 * ms, 10 * time.Second}, 0, false},
		{"nobody at all", Late{"a", Choice{}, true, 0, 100 * ms, 10 * time.Second}, 0, false},
		{"another in bad standing", Late{"a", next, false, 68 * ms, 100 * ms, 10 * time.Second}, 0, false},
		{"no time", Late{"a", next, true, 68 * ms, 0, 130 * ms}, 0, false},
	} {
		if wait, ok, why := Second(tt.late); wait != tt.wait || ok != tt.ok || why == "" {
			t.Errorf("%s: %t after %v (%s), want %t after %v", tt.name, ok, wait, why, tt.ok, tt.wait)
		}
	}
}

func TestBudgetIsAShareAtAnyTime(t *testing.T) {
	b := NewBudget(0.02)
	spent := 0
	for i := 1; i <= 10_000; i++ {
		b.Earn()
		for b.Spend() {
			spent++
		}
		if spent*100 > 2*i {
			t.Fatalf("%d of %d were spent", spent, i)
		}
	}
	if spent < 199 {
		t.Errorf("%d of 10,000 could be spent, want about 200", spent)
	}
	for range 10_000 {
		b.Earn()
	}
	for spent = 0; b.Spend(); spent++ {
	}
	if spent > burst {
		t.Errorf("%d at once, want at most %d", spent, burst)
	}
	if none := NewBudget(-1); none.Spend() {
		t.Error("a budget of nothing was spent")
	}
}
