package placement_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/gateway/placement"
)

// TestDecide runs the scripts in testdata/decide. A case gives a view; what it
// leaves out is a POST at eu-west-1 with us-east-1 as the primary 69 ms away,
// on a route that nothing is known of and with 10 s to go. Times are in
// milliseconds, seen is (mean trips, requests).
func TestDecide(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := placement.View{Home: "eu-west-1", Primary: "us-east-1", Method: "POST", RTT: 69 * time.Millisecond, Left: 10 * time.Second, Turn: 1, Away: strings.TrimSpace(d.Input)}
			text := map[string]*string{"home": (*string)(&v.Home), "primary": (*string)(&v.Primary), "placed": (*string)(&v.Placed), "mode": (*string)(&v.Mode), "method": &v.Method}
			for _, arg := range d.CmdArgs {
				if to := text[arg.Key]; to != nil {
					*to = strings.Join(arg.Vals, "")
					continue
				}
				n := make([]float64, len(arg.Vals))
				for i := range n {
					if _, err := fmt.Sscan(arg.Vals[i], &n[i]); err != nil {
						t.Fatalf("%s: %v", arg.Key, err)
					}
				}
				switch arg.Key {
				case "rtt":
					v.RTT = time.Duration(n[0]) * time.Millisecond
				case "left":
					v.Left = time.Duration(n[0]) * time.Millisecond
				case "own":
					v.Own = n[0]
				case "load":
					v.Load = n[0]
				case "turn":
					v.Turn = uint64(n[0])
				case "seen":
					v.Seen = placement.Seen{Mean: n[0], Weight: n[1]}
				default:
					t.Fatalf("unknown argument %q", arg.Key)
				}
			}
			got := placement.Decide(v)
			return fmt.Sprintf("%s (%s): %s\n", got.Where, got.Rule, got.Why)
		})
	})
}

// FuzzDecide checks what must hold of every view, however odd.
func FuzzDecide(f *testing.F) {
	f.Add("eu-west-1", "us-east-1", "", "", "auto", "POST", 3.0, 20.0, uint64(7), int64(69e6), int64(10e9), 0.2)
	f.Add("a", "a", "b", "down", "primary", "GET", -1.0, 0.0, uint64(100), int64(0), int64(0), 1.5)
	f.Fuzz(func(t *testing.T, home, primary, placed, away, mode, method string, mean, weight float64, turn uint64, rtt, left int64, load float64) {
		v := placement.View{
			Home: meridian.Region(home), Primary: meridian.Region(primary), Placed: meridian.Region(placed), Away: away,
			Mode: placement.Mode(mode), Method: method, Seen: placement.Seen{Mean: mean, Weight: weight}, Turn: turn,
			RTT: time.Duration(rtt), Left: time.Duration(left), Load: load,
		}
		d := placement.Decide(v)
		moved := d.Where == placement.AtPrimary
		switch {
		case d.Why == "" || d.Rule == "":
			t.Errorf("%+v: no reason", d)
		case moved && (placed != "" || away != "" || primary == "" || primary == home || mode == "local"):
			t.Errorf("%+v: a request that must stay was moved", d)
		case d != placement.Decide(v):
			t.Errorf("%+v: the same view decided otherwise", d)
		case moved && mode != "primary" && load >= 1:
			t.Errorf("%+v: moved to a primary without a free slot", d)
		}
	})
}

func TestDeclaredRoutesAreNeverExplored(t *testing.T) {
	for turn := uint64(1); turn <= 1000; turn++ {
		v := placement.View{Home: "a", Primary: "b", Mode: placement.Primary, Method: "POST", Left: time.Second, Turn: turn, Seen: placement.Seen{Mean: 3, Weight: 20}}
		if d := placement.Decide(v); d.Where != placement.AtPrimary {
			t.Fatalf("turn %d: %+v", turn, d)
		}
		v.Mode = placement.Local
		if d := placement.Decide(v); d.Where != placement.AtHome {
			t.Fatalf("turn %d: %+v", turn, d)
		}
	}
}

func TestOneRequestInAHundredExplores(t *testing.T) {
	looks := 0
	for turn := uint64(1); turn <= 1000; turn++ {
		d := placement.Decide(placement.View{Home: "a", Primary: "b", Method: "POST", Left: time.Second, Turn: turn, Seen: placement.Seen{Mean: 3, Weight: 20}})
		if d.Rule == placement.ByExplorer {
			looks++
		}
	}
	if looks != 10 {
		t.Errorf("%d of 1000 requests explored, want 10", looks)
	}
}

func TestThePriceRisesWithTheLoad(t *testing.T) {
	last := 0.0
	for load := 0.0; load < 1; load += 0.001 {
		p := placement.Price(load)
		if p < last || math.IsNaN(p) || math.IsInf(p, 0) {
			t.Fatalf("price %v at load %v, %v before", p, load, last)
		}
		last = p
	}
	if placement.Price(0.7) != 0 || last < 100 {
		t.Errorf("price %v at 0.7, %v near 1", placement.Price(0.7), last)
	}
}

func BenchmarkDecide(b *testing.B) {
	v := placement.View{Home: "eu-west-1", Primary: "us-east-1", Method: "POST", RTT: 69 * time.Millisecond, Left: time.Second, Turn: 1, Seen: placement.Seen{Mean: 3, Weight: 20}}
	b.ReportAllocs()
	for b.Loop() {
		placement.Decide(v)
	}
}
