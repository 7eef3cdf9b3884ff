package edge

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
	"meridian/edge/origin"
)

// fromNearest counts the samples that the nearest region answered.
func fromNearest(all []sample) (n int) {
	for _, s := range all {
		if s.from == "eu-central-1" {
			n++
		}
	}
	return n
}

// What one edge found broken costs the others one probe each: a region whose
// requests fail though its connections stand, as behind a gateway that is ill.
func TestOtherEdgesHearOfABrokenRegion(t *testing.T) {
	tried := func(gossip bool) (n int32) {
		synctest.Test(t, func(t *testing.T) {
			var ill atomic.Bool
			var begun atomic.Int32
			gs := farRegions()
			gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
				if ill.Load() {
					if begun.Add(1); r.Header.Get("Meridian-Request") != "" {
						panic(http.ErrAbortHandler)
					}
				}
				io.WriteString(w, "eu-central-1")
			}
			var other *lab
			first := newLab(t, gs, func(_ *Config, d *Deps) {
				d.Tell = func(m origin.Rumour) {
					if gossip {
						time.AfterFunc(40*time.Millisecond, func() { other.Hear("first", m) })
					}
				}
			})
			defer first.end()
			other = newLab(t, gs)
			defer other.end()
			ill.Store(true)
			first.load(100, 20)
			time.Sleep(50 * time.Millisecond)
			begun.Store(0)
			for _, s := range other.load(100, 20) {
				if s.method == "GET" && s.status != 200 {
					t.Errorf("a read was answered %d", s.status)
				}
			}
			n = begun.Load()
		})
		return n
	}
	if n := tried(true); n != 1 {
		t.Errorf("the other edge sent %d requests to the broken region, want one", n)
	}
	if n := tried(false); n < 3 {
		t.Errorf("without rumours it sent %d: the test shows nothing", n)
	}
}

// An edge that says all the time that a region is silent convinces nobody: what another
// hears itself outweighs it within a ping, and meanwhile it answers.
func TestAnEdgeThatIsCutOffConvincesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		stop := make(chan struct{})
		go func() {
			for {
				l.Hear("liar", origin.Rumour{Region: "eu-central-1", By: origin.BySilence, Why: "is silent for 350ms"})
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		all := l.load(200, 2000)
		close(stop)
		for _, s := range all {
			if s.status != 200 || s.took > 250*time.Millisecond {
				t.Errorf("%s was answered %d after %v", s.method, s.status, s.took)
			}
		}
		if n := fromNearest(all); n < len(all)*95/100 {
			t.Errorf("%d of %d were answered by the nearest region, want 95 %% of them", n, len(all))
		}
	})
}

// An edge that finds most regions broken tells nobody.
func TestAnEdgeDoubtsItselfFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan string, 100)
		var deaf atomic.Bool
		l := newLab(t, farRegions(), func(_ *Config, d *Deps) {
			d.Tell = func(m origin.Rumour) {
				if !deaf.Load() {
					told <- fmt.Sprint(m.Region, " ", m.By)
				}
			}
		})
		defer l.end()
		for _, r := range []meridian.Region{"eu-central-1", "us-east-1", "ap-southeast-1"} {
			l.origin.Refused(r)
		}
		deaf.Store(true)
		close(told)
		var got []string
		for s := range told {
			got = append(got, s)
		}
		if want := "[eu-central-1 word]"; fmt.Sprint(got) != want {
			t.Errorf("told %v, want %s: of the second and third it doubts itself", got, want)
		}
	})
}
