package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Gate says when the staged version is worse than the current one.
type Gate struct {
	Off bool `json:"off,omitempty"`
	// MaxErrors and MaxRefused are by how many percentage points its rates of 5xx
	// and of 4xx may be above the current one's.
	MaxErrors  float64 `json:"max_errors"`
	MaxRefused float64 `json:"max_refused"`
	// MinRequests of the staged version are needed before it is judged.
	MinRequests int64 `json:"min_requests"`
	// MaxAlone is the percentage of 5xx that is let be while fewer than MinRequests
	// of the current version are there to compare with; 0: it is not judged so.
	MaxAlone float64 `json:"max_alone,omitempty"`
	// MaxLatency is by how many times the time within which 99 of 100 requests of
	// the current version are answered may be exceeded; 0: time is not judged.
	MaxLatency float64 `json:"max_latency,omitempty"`
}

// A Report is what one edge tells of a rollout.
type Report struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Step    int    `json:"step"` // Record.Turn that it follows; 0: it follows none
	Arms    Arms   `json:"arms"`
	Serves  bool   `json:"serves"`            // it gives the version to who is to have it
	InFile  bool   `json:"in_file,omitempty"` // its own file says what the version says
	Refused string `json:"refused,omitempty"` // why it cannot take the version
	Verdict string `json:"verdict,omitempty"` // why it rolled the version back
}

// Plausible reports whether an edge could have counted that.
func (r Report) Plausible() bool {
	for _, a := range []Arm{r.Arms.Current, r.Arms.Staged} {
		for _, c := range []Counts{a.Total, a.Step, a.Recent} {
			if !c.timed() || c.Requests < 0 || c.Errors < 0 || c.Refused < 0 || c.Errors > c.Requests-c.Refused || c.Requests > maxCount || !(c.Seconds >= 0) {
				return false
			}
		}
	}
	return true
}

// maxCount keeps sums of counts from overflowing.
const maxCount = 1 << 50

// A View is what Decide decides on.
type View struct {
	Record  Record
	Held    time.Duration // for how long this edge has seen the present step
	Edges   []string      // that are alive, as the map says
	Reports []Report      // that were heard lately, this edge's own among them
}

// Do is what is to be done.
type Do string

// What is to be done.
const (
	Wait     Do = "wait"
	RollBack Do = "roll back"
	GoOn     Do = "go on" // to Decision.Percent
	Promote  Do = "promote"
	Finish   Do = "finish" // the files have it
)

// A Decision is what is to be done, and why.
type Decision struct {
	Do      Do
	Percent float64
	Why     string
}

// Decide decides what becomes of a rollout.
func Decide(v View) Decision {
	reports := slices.DeleteFunc(slices.Clone(v.Reports), func(r Report) bool { return r.Version != v.Record.Plan.Version })
	switch v.Record.Phase {
	case Promoted:
		return v.finish(reports)
	case Staged:
		if d := v.finish(reports); d.Do == Finish {
			return d
		}
	default:
		return Decision{Do: Wait, Why: "it is over"}
	}
	if why := condemned(reports); why != "" {
		return Decision{Do: RollBack, Why: why}
	}
	arms := Sum(reports)
	worse, why := v.Record.Gate.Judge(arms)
	if worse {
		return Decision{Do: RollBack, Why: why}
	}
	if v.Record.Steps == nil {
		return Decision{Do: Wait, Why: why}
	}
	return v.next(reports, arms, why)
}

// condemned returns why an edge wants no more of the version.
func condemned(reports []Report) string {
	for _, r := range reports {
		switch {
		case r.Verdict != "":
			return r.Verdict
		case r.Refused != "":
			return fmt.Sprintf("%s cannot take it: %s", r.Node, r.Refused)
		}
	}
	return ""
}

// Sum returns what all edges counted together.
func Sum(reports []Report) (out Arms) {
	for _, r := range reports {
		out = out.Plus(r.Arms)
	}
	return out
}

// next decides whether the present step has held for long enough.
func (v View) next(reports []Report, arms Arms, fine string) Decision {
	r := v.Record
	wait := func(format string, args ...any) Decision {
		return Decision{Do: Wait, Why: fmt.Sprintf(format, args...)}
	}
	if missing := v.missing(reports, func(x Report) bool { return x.Serves && x.Step == r.Turn }); missing != "" {
		return wait("%s has not said that it serves %v %%", missing, r.Plan.Percent)
	}
	switch {
	case v.Held < r.Hold:
		return wait("%v %% held for %v of %v; %s", r.Plan.Percent, v.Held.Truncate(time.Second), r.Hold, fine)
	case !r.Gate.Off && arms.Staged.Step.Requests < r.Gate.MinRequests:
		return wait("%v %% held for %v, but %d of %d requests came: too few to judge by", r.Plan.Percent, v.Held.Truncate(time.Second), arms.Staged.Step.Requests, r.Gate.MinRequests)
	}
	for _, percent := range r.Steps {
		if percent > r.Plan.Percent {
			return Decision{GoOn, percent, fmt.Sprintf("%v %% held for %v: %s", r.Plan.Percent, r.Hold, fine)}
		}
	}
	if r.Plan.Percent < 100 {
		return wait("%v %% was the last step: promote it, or abort it", r.Plan.Percent)
	}
	return Decision{Do: Promote, Why: fmt.Sprintf("100 %% held for %v: %s", r.Hold, fine)}
}

// finish decides whether the files of all edges have what was promoted.
func (v View) finish(reports []Report) Decision {
	if len(v.Edges) == 0 {
		return Decision{Do: Wait, Why: "no edge is alive, as the map says"}
	}
	if missing := v.missing(reports, func(r Report) bool { return r.InFile }); missing != "" {
		return Decision{Do: Wait, Why: fmt.Sprintf("promoted; the file of %s does not have it yet: put it there and run `meridian reload`", missing)}
	}
	return Decision{Do: Finish, Why: "the files of all edges have it"}
}

// missing names the living edges of which no report is as it should be.
func (v View) missing(reports []Report, is func(Report) bool) string {
	var out []string
	for _, edge := range v.Edges {
		if !slices.ContainsFunc(reports, func(r Report) bool { return r.Node == edge && is(r) }) {
			out = append(out, edge)
		}
	}
	return strings.Join(out, ", ")
}

// Judge reports whether the staged version is worse than the current one, and
// why or why not: lately, or in all of the present step. Where the current one
// has too few requests in that time, all that it had counts; and where those are
// too few, the staged version is judged alone as well.
func (g Gate) Judge(a Arms) (worse bool, why string) {
	if g.Off {
		return false, "the gate is off"
	}
	for _, s := range g.spans(a) {
		for _, find := range []func(span) string{g.worse, g.slower, g.alone} {
			if why := find(s); why != "" {
				return true, why
			}
		}
	}
	n := a.Staged.Step
	if n.Requests < g.MinRequests {
		return false, fmt.Sprintf("%d of %d requests came: too few to judge by", n.Requests, g.MinRequests)
	}
	return false, fmt.Sprintf("%s failed in this step, %s of the current version", share(n.Errors, n.Requests), share(a.Current.Step.Errors, a.Current.Step.Requests))
}

// A span is what of both versions is compared.
type span struct {
	name            string
	staged, current Counts
}

func (g Gate) spans(a Arms) (out []span) {
	for _, s := range []span{{"lately", a.Staged.Recent, a.Current.Recent}, {"in this step", a.Staged.Step, a.Current.Step}} {
		if s.staged.Requests < g.MinRequests {
			continue
		}
		if s.current.Requests < g.MinRequests {
			s.current = a.Current.Total
		}
		out = append(out, s)
	}
	return out
}

// worse returns which rate of the staged version is too far above the current
// one's.
func (g Gate) worse(s span) string {
	for _, rate := range []struct {
		of              string
		staged, current int64
		max             float64
	}{
		{"failed", s.staged.Errors, s.current.Errors, g.MaxErrors},
		{"were refused", s.staged.Refused, s.current.Refused, g.MaxRefused},
	} {
		if least := above(rate.staged, s.staged.Requests, rate.current, s.current.Requests, deviations); least > rate.max/100 {
			return fmt.Sprintf("%s %s, %s of the current version: at least %.1f points more, and %v are let be",
				share(rate.staged, s.staged.Requests), rate.of+" "+s.name, share(rate.current, s.current.Requests), least*100, rate.max)
		}
	}
	return ""
}

// alone returns why the staged version is judged without the current one.
func (g Gate) alone(s span) string {
	if g.MaxAlone == 0 || s.current.Requests >= g.MinRequests {
		return ""
	}
	if _, least, _ := wilson(s.staged.Errors, s.staged.Requests, deviations); least > g.MaxAlone/100 {
		return fmt.Sprintf("%s failed %s: at least %.1f %%, and %v are let be; it is judged alone, as %d requests of the current version are too few to compare with",
			share(s.staged.Errors, s.staged.Requests), s.name, least*100, g.MaxAlone, s.current.Requests)
	}
	return ""
}

// slower returns by how much the staged version is too slow: surely one of a
// hundred of its requests more than of the current one's takes longer than
// MaxLatency times what 99 of a hundred of those take.
func (g Gate) slower(s span) string {
	if g.MaxLatency == 0 || s.current.Requests < g.MinRequests {
		return ""
	}
	limit, ok := within(time.Duration(g.MaxLatency * float64(s.current.Quantile(0.99))))
	if !ok {
		return ""
	}
	staged, current := s.staged.Longer(limit), s.current.Longer(limit)
	if least := above(staged, s.staged.Requests, current, s.current.Requests, deviations); least > 0.01 {
		return fmt.Sprintf("%s took longer than %v %s, %s of the current version, whose 99th percentile is below %v: at least %.1f points more, and 1 is let be",
			share(staged, s.staged.Requests), bound(limit), s.name, share(current, s.current.Requests), s.current.Quantile(0.99), least*100)
	}
	return ""
}

func share(n, of int64) string {
	if of == 0 {
		return "0 of 0"
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", n, of, float64(n)*100/float64(of))
}

// deviations is how many a difference must be away from what chance makes.
const deviations = 3.0

// above returns the least by which the rate e1/n1 is above e0/n0, chance
// allowed for: the lower end of the hybrid score interval (Newcombe 1998, method
// 10). Of nothing it is never above zero.
func above(e1, n1, e0, n0 int64, z float64) float64 {
	p1, low, _ := wilson(e1, n1, z)
	p0, _, high := wilson(e0, n0, z)
	return p1 - p0 - math.Hypot(p1-low, high-p0)
}

// wilson returns a rate, and the ends of its score interval (Wilson 1927).
func wilson(e, n int64, z float64) (p, low, high float64) {
	if n == 0 {
		return 0, 0, 1
	}
	f, z2 := float64(n), z*z
	p = float64(e) / f
	middle := (p + z2/(2*f)) / (1 + z2/f)
	half := z * math.Sqrt(p*(1-p)/f+z2/(4*f*f)) / (1 + z2/f)
	return p, max(middle-half, 0), min(middle+half, 1)
}
