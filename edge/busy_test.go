package edge

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// overload sends a region that can serve 200 requests a second 50, and then 400,
// and returns how long the last five seconds' requests took, sorted, and how
// many of them the region itself answered.
func overload(t *testing.T, opts ...func(*Config, *Deps)) (took []time.Duration, own int) {
	synctest.Test(t, func(t *testing.T) {
		gs := farRegions()
		slots := make(chan struct{}, 4)
		gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
			slots <- struct{}{}
			time.Sleep(20 * time.Millisecond)
			<-slots
			io.WriteString(w, "eu-central-1")
		}
		l := newLab(t, gs, opts...)
		defer l.end()
		l.load(50, 150)
		for _, s := range l.load(400, 4000) {
			if s.begin < 5*time.Second {
				continue
			}
			if took = append(took, s.took); s.from == "eu-central-1" {
				own++
			}
		}
	})
	slices.Sort(took)
	return took, own
}

// A region that gets more than it can serve shares with the next, and is kept
// busy. Without an eye for how late it answers, its queue grows without end.
func TestRegionThatAnswersLateShares(t *testing.T) {
	took, own := overload(t)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("p50 %v, p99 %v, %d of %d by the busy region", p50, p99, own, len(took))
	if p99 > 500*time.Millisecond {
		t.Errorf("the 99th percentile is %v, want less than 500ms", p99)
	}
	if own < len(took)/4 || own > len(took)*6/10 {
		t.Errorf("%d of %d answered by the busy region, want about half", own, len(took))
	}
	took, _ = overload(t, func(c *Config, _ *Deps) { c.Upstream.Blind = true })
	if p50 := took[len(took)/2]; p50 < 2*time.Second {
		t.Errorf("blind, the median is %v: the test shows nothing", p50)
	}
}
