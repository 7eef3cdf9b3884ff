package origin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/topology"
)

// TestChoose runs the scripts in testdata/choose. A line is a region, how far it
// is ("68ms", or "?" if nobody measured it), what the map says of it (drained,
// down) and what this edge knows of it (cold, warming, broken, tried, "late 50ms").
func TestChoose(t *testing.T) {
	datadriven.Walk(t, "testdata/choose", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := View{Place: "here", Map: &topology.Snapshot{}}
			if d.HasArg("last") {
				var last string
				d.ScanArgs(t, "last", &last)
				v.Last = meridian.Region(last)
			}
			for line := range strings.Lines(d.Input) {
				readRegion(t, &v, strings.Fields(line))
			}
			c := Choose(v)
			return fmt.Sprintf("%s (%s): %s\n", c.Region, c.Cause, c.Why)
		})
	})
}

func readRegion(t *testing.T, v *View, words []string) {
	r := topology.Region{Name: meridian.Region(words[0]), Healthy: true}
	own := Own{Region: r.Name, RTT: -1}
	for _, word := range words[1:] {
		switch word {
		case "drained":
			r.Drained = true
		case "down":
			r.Healthy, r.Why = false, "is silent"
		case "cold":
			own.State = Cold
		case "broken":
			own.State, own.Why = Broken, "its connection broke"
		case "warming":
			own.State, own.Why = Warming, "is let in again, 37 % (was silent for 350ms)"
		case "tried":
			own.Tries++
		case "?":
		case "late":
			own.Queue = -1
		default:
			d, err := time.ParseDuration(word)
			if err != nil {
				t.Fatalf("%q: %v", word, err)
			}
			if own.Queue < 0 {
				own.Queue = d
			} else {
				own.RTT = d
			}
		}
	}
	v.Map.Regions = append(v.Map.Regions, r)
	v.Own = append(v.Own, own)
}

// FuzzChoose checks what must hold of every view: there is always an answer
// where there is a region, with a reason, and it is not one that was tried or
// that failed while another is untouched.
func FuzzChoose(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0xff, 0x3f, 0x00})
	f.Fuzz(func(t *testing.T, regions []byte) {
		v := View{Place: "here", Map: &topology.Snapshot{}}
		good := map[meridian.Region]bool{}
		for i, b := range regions[:min(len(regions), 30)] {
			name := meridian.Region(fmt.Sprint("r", i))
			r := topology.Region{Name: name, Healthy: b&1 == 0, Drained: b&2 != 0}
			own := Own{Region: name, RTT: time.Duration(b>>6) * time.Millisecond, State: State(int(b>>2) & 3), Tries: int(b>>4) & 3}
			v.Map.Regions, v.Own = append(v.Map.Regions, r), append(v.Own, own)
			if own.State == Ready && own.Tries == 0 {
				good[name] = true
			}
		}
		c := Choose(v)
		if (c.Region == "") != (len(regions) == 0) || c.Why == "" {
			t.Fatalf("%+v of %d regions", c, len(regions))
		}
		for _, o := range v.Own {
			if o.Region == c.Region && len(good) > 0 && (o.Tries > 0 || o.State == Broken) {
				t.Errorf("%s was chosen (%s), though %v stand ready", c.Region, c.Why, good)
			}
		}
	})
}

// TestRetry runs the scripts in testdata/retry.
func TestRetry(t *testing.T) {
	datadriven.Walk(t, "testdata/retry", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			a := Attempt{Method: d.Cmd, Sent: MaybeSent, Replayable: true, Tries: 1, MaxTries: 4, Left: time.Second}
			for _, arg := range d.CmdArgs {
				switch arg.Key {
				case "unsent":
					a.Sent = Unsent
				case "body-gone":
					a.Replayable = false
				case "client-gone":
					a.ClientGone = true
				case "timed-out":
					a.TimedOut = true
				case "late":
					a.Left = 0
				case "keyed":
					a.Keyed = true
				case "once":
					a.Keyed, a.Once = true, true
				case "tries":
					d.ScanArgs(t, "tries", &a.Tries)
				default:
					t.Fatalf("unknown word %s", arg.Key)
				}
			}
			v := Retry(a)
			return fmt.Sprintf("%s: %s\n", map[bool]string{true: "again", false: "no"}[v.Again], v.Why)
		})
	})
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{3, 30} {
		b.Run(fmt.Sprintf("regions=%d", n), func(b *testing.B) {
			v := View{Map: &topology.Snapshot{}}
			for i := range n {
				name := meridian.Region(fmt.Sprint("r", i))
				v.Map.Regions = append(v.Map.Regions, topology.Region{Name: name, Healthy: true})
				v.Own = append(v.Own, Own{Region: name, RTT: time.Duration(i) * time.Millisecond})
			}
			b.ReportAllocs()
			for b.Loop() {
				Choose(v)
			}
		})
	}
}
