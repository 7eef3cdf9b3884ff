package rollout

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A Phase is where a rollout stands.
type Phase string

// The phases. The first two are under way.
const (
	Staged     Phase = "staged"      // beside the current version
	Promoted   Phase = "promoted"    // for everybody, while files do not have it yet
	RolledBack Phase = "rolled back" // by the gate
	Aborted    Phase = "aborted"     // by an operator
	Done       Phase = "done"        // the files have it
)

// A Record is a rollout as the store has it.
type Record struct {
	Plan  Plan          `json:"plan"`
	Gate  Gate          `json:"gate"`
	Steps []float64     `json:"steps,omitempty"` // percentages that follow each other; nil: an operator says when
	Hold  time.Duration `json:"hold,omitempty"`  // of each step

	Phase Phase  `json:"phase"`
	Turn  int    `json:"turn"` // counts the changes of Percent
	Why   string `json:"why"`  // of the last change
	By    string `json:"by"`   // whose it was: a node, or "an operator"

	File    string    `json:"file,omitempty"` // where the operator has the version
	Started time.Time `json:"started"`
	Changed time.Time `json:"changed"`
}

// Under reports whether the rollout is under way: no other can begin.
func (r Record) Under() bool { return r.Phase == Staged || r.Phase == Promoted }

// After returns the record after a decision.
func (r Record) After(d Decision, by string, now time.Time) Record {
	switch d.Do {
	case RollBack:
		r.Phase = RolledBack
	case GoOn:
		r.Plan.Percent, r.Turn = d.Percent, r.Turn+1
	case Promote:
		r.Phase, r.Plan.Percent, r.Turn = Promoted, 100, r.Turn+1
	case Finish:
		r.Phase = Done
	default:
		return r
	}
	r.Why, r.By, r.Changed = d.Why, by, now
	return r
}

// Bounds of what an operator may say, of them those of CloudFront's session
// stickiness.
const (
	MinSticky = time.Second
	MaxSticky = time.Hour
	MaxHold   = 24 * time.Hour
	maxValue  = 256

	maxLatency = 1000
)

// Check refuses what makes no sense, and says what was expected.
func (r Record) Check() error {
	p := r.Plan
	switch {
	case p.Percent < 0 || p.Percent > 100:
		return fmt.Errorf("percent %v: expected 0 to 100", p.Percent)
	case r.Steps == nil && p.Percent == 100:
		return fmt.Errorf("percent 100: expected less: what all have cannot be compared with anything; promote it when it has shown itself")
	case p.Percent == 0 && p.Header == "":
		return fmt.Errorf("nobody would be given the new version: expected a percentage above 0, or a header")
	case p.Header != "" && (!httpguts.ValidHeaderFieldName(p.Header) || strings.HasPrefix(strings.ToLower(p.Header), "meridian-")):
		return fmt.Errorf("header %q: expected a header's name, and none that begins with Meridian-, which clients cannot send", p.Header)
	case p.Header != "" && (p.Value == "" || len(p.Value) > maxValue || !httpguts.ValidHeaderFieldValue(p.Value)):
		return fmt.Errorf("header %s: its value %q: expected 1 to %d bytes of text", p.Header, p.Value, maxValue)
	case p.By != ByClient && p.By != ByRequest:
		return fmt.Errorf("by %q: expected client or request", p.By)
	case p.Sticky != 0 && (p.Sticky < MinSticky || p.Sticky > MaxSticky):
		return fmt.Errorf("sticky %v: expected %v to %v, or 0 for no cookie", p.Sticky, MinSticky, MaxSticky)
	case r.Gate.MaxErrors < 0 || r.Gate.MaxErrors > 100 || r.Gate.MaxRefused < 0 || r.Gate.MaxRefused > 100:
		return fmt.Errorf("max errors %v and max refused %v: expected percentage points, 0 to 100", r.Gate.MaxErrors, r.Gate.MaxRefused)
	case r.Gate.MaxAlone < 0 || r.Gate.MaxAlone > 100:
		return fmt.Errorf("max errors alone %v: expected a percentage, 0 to 100", r.Gate.MaxAlone)
	case r.Gate.MaxLatency != 0 && !(r.Gate.MaxLatency >= 1 && r.Gate.MaxLatency <= maxLatency):
		return fmt.Errorf("max latency ratio %v: expected 1 to %d, or 0 to judge no times", r.Gate.MaxLatency, maxLatency)
	case r.Gate.MinRequests < 1:
		return fmt.Errorf("min requests %d: expected 1 or more", r.Gate.MinRequests)
	case r.Steps != nil && (r.Hold <= 0 || r.Hold > MaxHold):
		return fmt.Errorf("hold %v: expected up to %v", r.Hold, MaxHold)
	}
	before := 0.0
	for _, percent := range r.Steps {
		if percent <= before || percent > 100 {
			return fmt.Errorf("steps %v: expected percentages above 0 and up to 100, each above the one before", r.Steps)
		}
		before = percent
	}
	return nil
}
