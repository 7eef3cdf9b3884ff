package failover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/postgres/failover"
)

// TestDecide runs the scripts in testdata/decide: a view, and the decision
// expected of it. go test -rewrite writes the decisions made.
func TestDecide(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := failover.View{Regions: []meridian.Region{"iad", "dub", "sin"}, MaxLoss: 10 * time.Second, Alive: map[meridian.Region]bool{"iad": true, "dub": true, "sin": true}}
			var self, holder, state string
			var age, lag, pledged, since int
			d.ScanArgs(t, "self", &self)
			d.ScanArgs(t, "record", &holder, &v.Record.Term)
			d.ScanArgs(t, "state", &state)
			d.MaybeScanArgs(t, "age", &age)
			d.MaybeScanArgs(t, "lag", &lag)
			d.MaybeScanArgs(t, "pledged", &pledged, &since)
			v.Self, v.Record.Region, v.State = meridian.Region(self), meridian.Region(holder), failover.State(state)
			v.Age, v.Lag, v.Since = time.Duration(age)*time.Millisecond, time.Duration(lag)*time.Millisecond, time.Duration(since)*time.Millisecond
			v.Pledged = uint64(pledged)
			d.MaybeScanArgs(t, "follows", &v.Follows)
			for line := range strings.Lines(d.Input) {
				readLine(t, &v, strings.TrimSpace(line))
			}
			got := failover.Decide(v)
			if d.Cmd == "witness" {
				v.Witness = v.Self
				got = failover.DecideWitness(v)
			}
			return fmt.Sprintf("%s %s in term %d: %s\n", got.Do, got.Who, got.Term, got.Why)
		})
	})
}

func readLine(t *testing.T, v *failover.View, line string) {
	t.Helper()
	var r failover.Report
	var p failover.Pledge
	var m failover.Move
	var dead meridian.Region
	switch {
	case scan(line, "report %s term=%d timeline=%d flushed=%d", &r.Region, &r.Term, &r.Timeline, &r.Flushed):
		v.Reports = append(v.Reports, r)
	case scan(line, "pledge %s term=%d", &p.Region, &p.Term):
		v.Pledges = append(v.Pledges, p)
	case scan(line, "move %s term=%d force", &m.To, &m.Term):
		m.Force = strings.HasSuffix(line, "force")
		v.Move = &m
	case scan(line, "move %s term=%d", &m.To, &m.Term):
		v.Move = &m
	case strings.HasPrefix(line, "durability "):
		now, next, changes := strings.Cut(strings.TrimPrefix(line, "durability "), " -> ")
		if v.Record.Promise.Now = durability(t, now); changes {
			v.Record.Promise = v.Record.Promise.Ask(durability(t, next))
		}
	case scan(line, "witness %s", &v.Witness):
	case line == "rewinds":
		v.Lacks = line
	case scan(line, "dead %s", &dead):
		v.Alive[dead] = false
	case scan(line, "regions %s", &dead):
		v.Regions = nil
		for name := range strings.SplitSeq(string(dead), ",") {
			v.Regions = append(v.Regions, meridian.Region(name))
		}
	default:
		t.Fatalf("cannot read %q", line)
	}
}

func durability(t *testing.T, text string) meridian.Durability {
	t.Helper()
	d, err := meridian.ParseDurability(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}

// FuzzDecide checks what must hold of every view, however odd.
func FuzzDecide(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint64(7), int64(1000), uint64(7), uint8(1), uint64(8), uint64(100))
	f.Fuzz(func(t *testing.T, self, holder uint8, term uint64, age int64, pledged uint64, state uint8, reported, flushed uint64) {
		names := []meridian.Region{"iad", "dub", "sin"}
		states := []failover.State{failover.Primary, failover.Standby, failover.Stopped}
		v := failover.View{
			Self: names[int(self)%3], Regions: names, Record: failover.Record{Region: names[int(holder)%3], Term: term % (1 << 60)},
			Age: time.Duration(age), State: states[int(state)%3], Pledged: pledged % (1 << 60), Since: time.Hour, MaxLoss: time.Second,
			Reports: []failover.Report{{Region: "dub", Term: reported % (1 << 60), Timeline: 1, Flushed: meridian.LSN(flushed)}, {Region: "sin", Term: reported % (1 << 60), Timeline: 1, Flushed: 5}},
		}
		if w := failover.DecideWitness(v); w.Do == failover.Vote && (v.Age < failover.Lease+failover.Drift || w.Term <= v.Record.Term) {
			t.Errorf("the witness votes for term %d while %s may still act", w.Term, v.Record.Region)
		}
		d := failover.Decide(v)
		bare := v
		bare.Pledges = []failover.Pledge{{Region: "dub", Term: v.Pledged}, {Region: "sin", Term: reported % (1 << 60)}}
		if b := failover.Decide(bare); (b.Do == failover.Take) != (d.Do == failover.Take) {
			t.Errorf("a pledge without a report makes %s of %s", b.Do, d.Do)
		}
		switch {
		case d.Why == "":
			t.Error("a decision without a reason")
		case d.Do == failover.Take && v.Age < failover.Lease+failover.Drift:
			t.Errorf("%s takes the record while %s may still act", v.Self, v.Record.Region)
		case d.Do == failover.Take && d.Term <= v.Record.Term:
			t.Errorf("term %d is taken after term %d", d.Term, v.Record.Term)
		case (d.Do == failover.Hold || d.Do == failover.Hand || d.Do == failover.Refuse || d.Do == failover.Raise || d.Do == failover.Promote) && v.Record.Region != v.Self:
			t.Errorf("%s does %s with the record of %s", v.Self, d.Do, v.Record.Region)
		case d.Do == failover.Raise && d.Term <= v.Record.Term:
			t.Errorf("raised from term %d to %d", v.Record.Term, d.Term)
		}
	})
}
