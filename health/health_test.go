package health

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestJudge runs the scripts in testdata/judge. Each line of a view is the
// report of one node: its name, its age, and for each other node + (seen), -
// (not seen) or ? (not looked yet).
func TestJudge(t *testing.T) {
	datadriven.Walk(t, "testdata/judge", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			now := time.Unix(1e9, 0)
			v := View{Now: now, Fresh: 3 * time.Second}
			var nodes string
			d.ScanArgs(t, "nodes", &nodes)
			v.Nodes = strings.Split(nodes, ",")
			for line := range strings.Lines(d.Input) {
				v.Reports = append(v.Reports, parseHeard(t, now, strings.Fields(line)))
			}
			var out strings.Builder
			verdicts := Judge(v)
			for _, n := range v.Nodes {
				fmt.Fprintf(&out, "%s %s: %s\n", n, word(verdicts[n].Alive), verdicts[n].Why)
			}
			return out.String()
		})
	})
}

func word(alive bool) string {
	if alive {
		return "alive"
	}
	return "dead"
}

// parseHeard reads a line such as "fra 200ms +gru -iad ?sin".
func parseHeard(t *testing.T, now time.Time, f []string) Heard {
	t.Helper()
	age, err := time.ParseDuration(f[1])
	if err != nil {
		t.Fatal(err)
	}
	h := Heard{Report: Report{Node: f[0], Sights: map[string]Sight{}}, At: now.Add(-age)}
	for _, s := range f[2:] {
		h.Sights[s[1:]] = Sight{OK: s[0] != '-', Known: s[0] != '?'}
	}
	return h
}

// TestSight runs the scripts in testdata/sight: what happens to the sight of
// one node, a line each, and what it is after that.
func TestSight(t *testing.T) {
	datadriven.Walk(t, "testdata/sight", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			now := time.Unix(1e9, 0)
			s := unseen(now)
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				f := strings.Fields(line)
				switch f[0] {
				case "answered":
					s = s.Answered(now, duration(t, f[1]))
				case "refused":
					s = s.Failed(now, "connection refused")
				case "waited":
					s = s.Silent(now, duration(t, f[1]), 300*time.Millisecond)
				default:
					t.Fatalf("%q", line)
				}
				fmt.Fprintf(&out, "%-16s %s: %s\n", strings.TrimSpace(line), word(s.OK), s.Why)
			}
			return out.String()
		})
	})
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReportOutOfBoundsIsRefused(t *testing.T) {
	good := func() *wireReport {
		return &wireReport{Node: "fra", Sights: map[string]wireSight{"gru": {OK: true, Known: true, RTTUS: 70_000}}, Facts: map[string]string{"primary": "no"}}
	}
	for name, spoil := range map[string]func(*wireReport){
		"another's name": func(w *wireReport) { w.Node = "iad" },
		"negative rtt":   func(w *wireReport) { w.Sights["gru"] = wireSight{RTTUS: -1} },
		"endless rtt":    func(w *wireReport) { w.Sights["gru"] = wireSight{RTTUS: 1 << 60} },
		"long reason":    func(w *wireReport) { w.Sights["gru"] = wireSight{Why: strings.Repeat("x", maxText+1)} },
		"long fact":      func(w *wireReport) { w.Facts["x"] = strings.Repeat("x", maxText+1) },
		"many facts": func(w *wireReport) {
			for i := range maxFacts {
				w.Facts[fmt.Sprint(i)] = ""
			}
		},
	} {
		w := good()
		spoil(w)
		if _, err := decodeReport(w, "fra", time.Now()); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	if _, err := decodeReport(good(), "fra", time.Now()); err != nil {
		t.Errorf("a good report is refused: %v", err)
	}
	if _, err := decodeReport(nil, "fra", time.Now()); err == nil {
		t.Error("no report: not refused")
	}
}

// What this node says of itself, others accept, however long its facts are.
func TestOwnReportIsAccepted(t *testing.T) {
	r := Report{Node: "fra", Sights: map[string]Sight{"gru": {Why: strings.Repeat("ü", maxText)}}, Facts: map[string]string{}}
	for i := range 2 * maxFacts {
		r.Facts[fmt.Sprint(i)] = strings.Repeat("é", maxText)
	}
	var wire bytes.Buffer
	if err := writeFrame(&wire, frame{Seq: 1, Report: encodeReport(r, time.Now())}); err != nil {
		t.Fatal(err)
	}
	f, err := readFrame(&wire)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeReport(f.Report, "fra", time.Now()); err != nil {
		t.Error(err)
	}
}

// FuzzReadFrame: whatever another node sends, a frame is refused or within
// bounds.
func FuzzReadFrame(f *testing.F) {
	var good bytes.Buffer
	r := Report{Node: "fra", Sights: map[string]Sight{"gru": {OK: true, Known: true, RTT: time.Millisecond}}}
	if err := writeFrame(&good, frame{Seq: 1, Report: encodeReport(r, time.Now())}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		r, err := decodeReport(fr.Report, "fra", time.Now())
		if err != nil {
			return
		}
		for n, s := range r.Sights {
			if s.RTT < 0 || s.RTT > maxRTT || len(n) > maxText || s.Since.After(time.Now()) {
				t.Errorf("%q: %+v", n, s)
			}
		}
	})
}
