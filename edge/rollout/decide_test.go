package rollout

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestDecide runs the scripts in testdata/decide. A line is a fact:
//
//	at PERCENT [steps 1 10 100] [hold 60s] [held 10s] [turn N] [phase PHASE]
//	gate [off] [errors POINTS] [refused POINTS] [min N] [alone PERCENT] [latency RATIO]
//	edge NAME [dead] [silent] [staged N/ERRORS/REFUSED] [current ...] [times STAGED CURRENT, each N@TIME,...] [earlier ...] [recent STAGED CURRENT] [in-file] [at-turn N] [of VERSION] [refuses WHY] [condemns WHY]
func TestDecide(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := View{Record: Record{Plan: plan(5), Phase: Staged, Turn: 1, Gate: Gate{MaxErrors: 1, MaxRefused: 5, MinRequests: 20}}}
			for line := range strings.SplitSeq(strings.TrimSpace(d.Input), "\n") {
				if err := v.read(strings.Fields(line)); err != nil {
					d.Fatalf(t, "%s: %v", line, err)
				}
			}
			if d.Cmd != "decide" {
				d.Fatalf(t, "unknown command")
			}
			x := Decide(v)
			if x.Do == GoOn {
				return fmt.Sprintf("%s to %v %%: %s\n", x.Do, x.Percent, x.Why)
			}
			return fmt.Sprintf("%s: %s\n", x.Do, x.Why)
		})
	})
}

func (v *View) read(words []string) (err error) {
	scan := func(text string, to ...any) {
		if _, e := fmt.Sscanf(strings.ReplaceAll(text, "/", " "), strings.Repeat("%v ", len(to)), to...); e != nil {
			err = fmt.Errorf("%q: %w", text, e)
		}
	}
	counts := func(text string) (c Counts) {
		scan(text, &c.Requests, &c.Errors, &c.Refused)
		return c
	}
	switch first, rest := words[0], words[1:]; first {
	case "at":
		scan(rest[0], &v.Record.Plan.Percent)
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case "steps":
				v.Record.Hold = time.Minute
				for i+1 < len(rest) && strings.Trim(rest[i+1], "0123456789") == "" {
					var p float64
					scan(rest[i+1], &p)
					v.Record.Steps = append(v.Record.Steps, p)
					i++
				}
			case "held":
				v.Held, err = time.ParseDuration(rest[i+1])
				i++
			case "phase":
				v.Record.Phase = Phase(strings.Join(rest[i+1:], " "))
				return err
			case "turn":
				scan(rest[i+1], &v.Record.Turn)
				i++
			}
		}
	case "gate":
		for i := 0; i < len(rest); i++ {
			switch rest[i] {
			case "off":
				v.Record.Gate.Off = true
			case "errors":
				scan(rest[i+1], &v.Record.Gate.MaxErrors)
			case "refused":
				scan(rest[i+1], &v.Record.Gate.MaxRefused)
			case "min":
				scan(rest[i+1], &v.Record.Gate.MinRequests)
			case "alone":
				scan(rest[i+1], &v.Record.Gate.MaxAlone)
			case "latency":
				scan(rest[i+1], &v.Record.Gate.MaxLatency)
			}
		}
	case "edge":
		r := Report{Node: rest[0], Version: "r1", Step: v.Record.Turn, Serves: true}
		alive, heard := true, true
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case "dead":
				alive = false
			case "silent":
				heard = false
			case "staged":
				c := counts(rest[i+1])
				r.Arms.Staged.Step, r.Arms.Staged.Total = c, c
			case "current":
				c := counts(rest[i+1])
				r.Arms.Current.Step, r.Arms.Current.Total = c, c
			case "earlier":
				r.Arms.Current.Total = counts(rest[i+1])
			case "recent":
				r.Arms.Staged.Recent, r.Arms.Current.Recent = counts(rest[i+1]), counts(rest[i+2])
			case "times":
				for j, arm := range []*Arm{&r.Arms.Staged, &r.Arms.Current} {
					if arm.Step, err = timed(rest[i+1+j]); err != nil {
						return err
					}
					arm.Total = arm.Step
				}
			case "in-file":
				r.InFile = true
			case "of":
				r.Version = rest[i+1]
			case "at-turn":
				scan(rest[i+1], &r.Step)
			case "refuses":
				r.Refused, r.Serves = strings.Join(rest[i+1:], " "), false
				i = len(rest)
			case "condemns":
				r.Verdict, r.Serves = strings.Join(rest[i+1:], " "), false
				i = len(rest)
			}
		}
		if alive {
			v.Edges = append(v.Edges, r.Node)
		}
		if heard {
			v.Reports = append(v.Reports, r)
		}
	default:
		err = fmt.Errorf("unknown")
	}
	return err
}

// timed reads requests that took some times, such as 95@20ms,5@3s.
func timed(text string) (c Counts, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, took, _ := strings.Cut(part, "@")
		d, err := time.ParseDuration(took)
		if err != nil {
			return c, err
		}
		times, err := strconv.Atoi(n)
		if err != nil {
			return c, err
		}
		for range times {
			c.add(Outcome{Status: 200, Took: d})
		}
	}
	return c, nil
}

// TestChanceRollsNothingBackForItsTimes plays rollouts of a version that is as
// fast as the current one, whose times spread widely. Control: of one of which
// every tenth request is eight times as slow, few stay.
func TestChanceRollsNothingBackForItsTimes(t *testing.T) {
	g := Gate{MaxErrors: 1, MaxRefused: 5, MinRequests: 20, MaxLatency: 2}
	rng := rand.New(rand.NewPCG(3, 4))
	back := func(slow float64) bool {
		var a Arms
		for range 40 {
			for range 100 {
				took := time.Duration(float64(10*time.Millisecond) * math.Exp(rng.NormFloat64()))
				arm := &a.Current
				if rng.Float64() < 0.2 {
					if arm = &a.Staged; rng.Float64() < slow {
						took = 8 * 100 * time.Millisecond
					}
				}
				arm.Step.add(Outcome{Status: 200, Took: took})
				arm.Total.add(Outcome{Status: 200, Took: took})
			}
			if rolls, _ := g.Judge(a); rolls {
				return true
			}
		}
		return false
	}
	wrong, right := 0, 0
	for range 50 {
		if back(0) {
			wrong++
		}
		if back(0.1) {
			right++
		}
	}
	if wrong > 1 || right < 45 {
		t.Errorf("of 50 that are as fast %d are rolled back, of 50 that are not %d", wrong, right)
	}
}

// TestChanceRollsNothingBack plays rollouts of a version that is as good as the
// current one, at several rates of errors, and asks after each hundred requests.
// Control: of one that fails a fifth more, few stay.
func TestChanceRollsNothingBack(t *testing.T) {
	g := Gate{MaxErrors: 1, MaxRefused: 5, MinRequests: 20}
	rng := rand.New(rand.NewPCG(1, 2))
	back := func(rate, worse float64) bool {
		var a Arms
		for range 40 {
			for range 100 {
				arm, p := &a.Current, rate
				if rng.Float64() < 0.2 {
					arm, p = &a.Staged, rate+worse
				}
				o := Outcome{Status: 200}
				if rng.Float64() < p {
					o.Status = 500
				}
				arm.Step.add(o)
				arm.Total.add(o)
			}
			if rolls, _ := g.Judge(a); rolls {
				return true
			}
		}
		return false
	}
	for _, rate := range []float64{0, 0.001, 0.02, 0.2, 0.6} {
		wrong, right := 0, 0
		for range 50 {
			if back(rate, 0) {
				wrong++
			}
			if back(rate, 0.2) {
				right++
			}
		}
		if wrong > 1 || right < 30 {
			t.Errorf("at %v: of 50 that are as good %d are rolled back, of 50 that are not %d", rate, wrong, right)
		}
	}
}

// TestTheIntervalIsNewcombes compares with the contrasts of his paper's table II,
// at 95 %.
func TestTheIntervalIsNewcombes(t *testing.T) {
	for _, c := range []struct {
		e1, n1, e0, n0 int64
		want           float64
	}{{56, 70, 48, 80, 0.0524}, {9, 10, 3, 10, 0.1705}, {6, 7, 2, 7, 0.0582}, {5, 56, 0, 29, -0.0381}, {0, 10, 0, 20, -0.1611}, {10, 10, 0, 20, 0.6791}} {
		if got := above(c.e1, c.n1, c.e0, c.n0, 1.959964); math.Abs(got-c.want) > 0.0001 {
			t.Errorf("%+v: %.4f", c, got)
		}
	}
}

// TestCounts: the time of a request falls into its bucket, a second passes out
// of what is recent, and a step begins anew.
func TestCounts(t *testing.T) {
	var tally Tally
	now := time.Unix(1000, 0)
	for i, o := range []Outcome{{Status: 200, Took: time.Millisecond}, {Status: 503, Took: 3 * time.Millisecond}, {Status: 404, Took: time.Hour}, {Status: 200, Broken: true}} {
		tally.Add(true, o, now.Add(time.Duration(i)*time.Second))
	}
	a := tally.Arms(now.Add(3 * time.Second)).Staged
	if a.Total.Requests != 4 || a.Total.Errors != 2 || a.Total.Refused != 1 || a.Recent != a.Total || a.Step != a.Total {
		t.Errorf("%+v", a)
	}
	if p50, p100 := a.Total.Quantile(0.5), a.Total.Quantile(1); p50 != time.Millisecond || p100 != bound(buckets-1) {
		t.Errorf("half within %v, all within %v", p50, p100)
	}
	tally.Begin()
	a = tally.Arms(now.Add(Recently + time.Second)).Staged
	if a.Total.Requests != 4 || a.Step.Requests != 0 || a.Recent.Requests != 2 {
		t.Errorf("later: %+v", a)
	}
}

// TestWhatIsNoRollout: each mistake is said, with what was expected. The control
// is the record that they are made in.
func TestWhatIsNoRollout(t *testing.T) {
	good := Record{Plan: plan(5), Gate: Gate{MaxErrors: 1, MaxRefused: 5, MinRequests: 20}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Record){
		"percent 101":             func(r *Record) { r.Plan.Percent = 101 },
		"percent 100":             func(r *Record) { r.Plan.Percent = 100 },
		"nobody would be given":   func(r *Record) { r.Plan.Percent = 0 },
		"begins with Meridian-":   func(r *Record) { r.Plan.Header, r.Plan.Value = "Meridian-Stage", "x" },
		`header "X Stage"`:        func(r *Record) { r.Plan.Header, r.Plan.Value = "X Stage", "x" },
		`its value ""`:            func(r *Record) { r.Plan.Header = "X-Stage" },
		`by "weather"`:            func(r *Record) { r.Plan.By = "weather" },
		"sticky 2h":               func(r *Record) { r.Plan.Sticky = 2 * time.Hour },
		"max errors 101":          func(r *Record) { r.Gate.MaxErrors = 101 },
		"max errors alone 101":    func(r *Record) { r.Gate.MaxAlone = 101 },
		"max latency ratio 0.5":   func(r *Record) { r.Gate.MaxLatency = 0.5 },
		"min requests 0":          func(r *Record) { r.Gate.MinRequests = 0 },
		"hold 0s":                 func(r *Record) { r.Steps = []float64{5} },
		"steps [5 5]":             func(r *Record) { r.Steps, r.Hold = []float64{5, 5}, time.Minute },
		"steps [5 50 10]":         func(r *Record) { r.Steps, r.Hold = []float64{5, 50, 10}, time.Minute },
		"steps [0 50]: expected ": func(r *Record) { r.Steps, r.Hold = []float64{0, 50}, time.Minute },
	} {
		r := good
		change(&r)
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error()+"expected", "expected") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
