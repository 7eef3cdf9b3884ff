package origin

import (
	"testing"
	"time"
)

func TestQuietIsMoreThanTwiceTheLongestGap(t *testing.T) {
	var p pulse
	now := time.Unix(1_000_000, 0)
	beat := func(n int, every time.Duration) {
		for range n {
			now = now.Add(every)
			p.beat(now)
		}
	}
	quiet := func(after time.Duration) bool { _, q := p.quiet(now.Add(after), false); return q }
	beat(10, time.Second)
	if quiet(time.Hour) {
		t.Error("a region that is asked nothing is quiet")
	}
	p.wait(true, now)
	if quiet(time.Hour) {
		t.Error("a region that was not asked yet is quiet")
	}
	beat(1000, time.Millisecond)
	if quiet(pulseFloor-1) || !quiet(pulseFloor) {
		t.Error("after a byte each millisecond the floor is not what counts")
	}
	beat(1, 100*time.Millisecond)
	beat(1000, time.Millisecond)
	if quiet(199*time.Millisecond) || !quiet(200*time.Millisecond) {
		t.Error("twice the longest gap is not what counts")
	}
	beat(10_000, time.Millisecond)
	if !quiet(pulseFloor) {
		t.Error("a gap of ten seconds ago still counts")
	}
}
