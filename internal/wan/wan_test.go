package wan

import (
	"testing"
	"time"
)

func place(t *testing.T, code string) Place {
	t.Helper()
	p, ok := Lookup(code)
	if !ok {
		t.Fatalf("no place %q", code)
	}
	return p
}

func TestMatrixIsWhole(t *testing.T) {
	m := table()
	if len(m.places) != 33 || len(m.rtts) != 33*33 {
		t.Fatalf("%d places and %d round trips, want 33 and 1089", len(m.places), len(m.rtts))
	}
	for a := range m.places {
		for b := range m.places {
			rt, ok := m.rtts[[2]string{a, b}]
			if !ok || rt.p50 <= 0 || rt.p90 < rt.p50 {
				t.Errorf("%s to %s: %v", a, b, rt)
			}
		}
	}
}

func TestRTT(t *testing.T) {
	use1, euw1 := place(t, "us-east-1"), place(t, "eu-west-1")
	lisbon := Place{Code: "lisbon", Lat: 38.72, Lon: -9.14}
	madeira := Place{Code: "madeira", Lat: 32.65, Lon: -16.91}
	for _, tt := range []struct {
		name     string
		a, b     Place
		min, max time.Duration
	}{
		{"in the matrix", use1, euw1, 65 * time.Millisecond, 75 * time.Millisecond},
		{"within a place", use1, use1, 0, 0},
		{"one end outside the matrix", lisbon, euw1, 45 * time.Millisecond, 60 * time.Millisecond}, // 1,640 km
		{"both ends outside the matrix", lisbon, madeira, 38 * time.Millisecond, 46 * time.Millisecond},
	} {
		p50, p90 := RTT(tt.a, tt.b)
		if p50 < tt.min || p50 > tt.max || p90 < p50 {
			t.Errorf("%s: %v, %v; want between %v and %v", tt.name, p50, p90, tt.min, tt.max)
		}
	}
}

func TestUnknownCode(t *testing.T) {
	if p, ok := Lookup("moon-1"); ok {
		t.Errorf("Lookup(moon-1) = %v", p)
	}
}
