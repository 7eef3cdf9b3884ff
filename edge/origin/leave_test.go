package origin

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLeave(t *testing.T) {
	for _, tt := range []struct {
		name  string
		w     Waiting
		ever  bool
		after time.Duration
	}{
		{"a read, and another region", Waiting{Elsewhere: true, Movable: true}, true, 0},
		{"a write, and another region", Waiting{Elsewhere: true}, true, lull},
		{"a read, and no other region", Waiting{Movable: true}, false, 0},
		{"a write, and no other region", Waiting{}, false, 0},
	} {
		if l := Leave(tt.w); l.Ever != tt.ever || l.After != tt.after || l.Why == "" {
			t.Errorf("%s: %+v, want ever %v, after %v", tt.name, l, tt.ever, tt.after)
		}
	}
}

// What is given up is given up once, and what is hoped for again is hoped for by
// who comes later.
func TestAHopeIsLostAndMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHope()
		first := h.ctx
		h.set(true)
		if first.Err() != nil || h.ctx != first {
			t.Error("a hope that stands was made anew")
		}
		h.set(false)
		h.set(false)
		if first.Err() == nil {
			t.Error("a hope that was given up stands")
		}
		h.set(true)
		if h.ctx.Err() != nil || first.Err() == nil {
			t.Error("a hope was not made anew")
		}
		h.lose()
	})
}

// Who is wary goes by half of the silence.
func TestTheWaryGoByHalfOfTheSilence(t *testing.T) {
	var p pulse
	now := time.Unix(1_000_000, 0)
	p.wait(true, now)
	for range 1000 {
		now = now.Add(time.Millisecond)
		p.beat(now)
	}
	for _, tt := range []struct {
		after       time.Duration
		wary, quiet bool
	}{{pulseFloor/2 - 1, true, false}, {pulseFloor / 2, true, true}, {pulseFloor / 2, false, false}, {pulseFloor, false, true}} {
		if _, q := p.quiet(now.Add(tt.after), tt.wary); q != tt.quiet {
			t.Errorf("%v after the last byte, wary %v: quiet %v, want %v", tt.after, tt.wary, q, tt.quiet)
		}
	}
}
