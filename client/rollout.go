package client

import (
	"context"
	"net/http"
	"time"
)

// A RolloutStart is new edge rules, and who is to have them first.
type RolloutStart struct {
	Rules   string        `json:"rules"`          // the keys of a file that edges take while they run, as YAML
	File    string        `json:"file,omitempty"` // where the operator has them
	Percent float64       `json:"percent"`
	Header  string        `json:"header,omitempty"` // requests with this header's Value have them, whatever the percentage
	Value   string        `json:"value,omitempty"`
	By      string        `json:"by,omitempty"`     // client or request; "" means client
	Sticky  time.Duration `json:"sticky,omitempty"` // how long a client's cookie keeps what it drew; 0 sets none
	Steps   []float64     `json:"steps,omitempty"`  // percentages that follow each other by themselves, Percent the first
	Hold    time.Duration `json:"hold,omitempty"`   // of each step

	NoGate      bool    `json:"no_gate,omitempty"` // nothing rolls it back but an operator
	MaxErrors   float64 `json:"max_errors"`        // percentage points of 5xx above the current rules'
	MaxRefused  float64 `json:"max_refused"`       // percentage points of 4xx above the current rules'
	MinRequests int64   `json:"min_requests"`      // before anything is judged

	MaxErrorsAlone  float64 `json:"max_errors_alone,omitempty"`  // percentage of 5xx where too few have the current rules to compare with; 0: it is not judged so
	MaxLatencyRatio float64 `json:"max_latency_ratio,omitempty"` // times the current rules' 99th percentile; 0: times are not judged
}

// A Rollout is the newest rollout of edge rules. Its JSON is part of the outside
// surface: fields may be added and never change their meaning.
type Rollout struct {
	Version string        `json:"version"` // "" if there never was one
	Phase   string        `json:"phase"`   // staged, promoted, rolled back, aborted or done
	Percent float64       `json:"percent"`
	Header  string        `json:"header,omitempty"`
	By      string        `json:"by,omitempty"`
	Sticky  time.Duration `json:"sticky,omitempty"`
	Steps   []float64     `json:"steps,omitempty"`
	Hold    time.Duration `json:"hold,omitempty"`
	Gate    bool          `json:"gate"`
	File    string        `json:"file,omitempty"`
	Started time.Time     `json:"started,omitzero"`
	Changed time.Time     `json:"changed,omitzero"`
	Why     string        `json:"why"`             // of the last change
	Who     string        `json:"who"`             // made it: a node, or an operator
	Waits   string        `json:"waits,omitempty"` // what it waits for now
	Rules   string        `json:"rules,omitempty"` // of a promoted one

	All   RolloutArms   `json:"all"` // of all edges that answered
	Edges []RolloutEdge `json:"edges"`
}

// A RolloutEdge is a rollout at one edge.
type RolloutEdge struct {
	Edge   string `json:"edge"`
	State  string `json:"state"` // staged, promoted, current, refused or silent
	InFile bool   `json:"in_file"`
	Why    string `json:"why,omitempty"` // it is not as the others
	RolloutArms
}

// RolloutArms are both rules beside each other, since the rollout began.
type RolloutArms struct {
	Current RolloutArm `json:"current"`
	Staged  RolloutArm `json:"staged"`
}

// A RolloutArm is what became of the requests that had one of the rules.
type RolloutArm struct {
	Requests int64         `json:"requests"`
	Errors   int64         `json:"errors"`  // answered 5xx, or broken off
	Refused  int64         `json:"refused"` // answered 4xx
	Mean     time.Duration `json:"mean"`
	P50      time.Duration `json:"p50"` // at most
	P99      time.Duration `json:"p99"` // at most
}

// Rollout returns the newest rollout.
func (c *Client) Rollout(ctx context.Context) (out Rollout, err error) {
	return out, c.call(ctx, http.MethodGet, "/v1/rollout", nil, &out)
}

// StartRollout stages new rules beside the current ones.
func (c *Client) StartRollout(ctx context.Context, s RolloutStart) (out Rollout, err error) {
	return out, c.call(ctx, http.MethodPost, "/v1/rollout", s, &out)
}

// SetRolloutPercent changes who has the staged rules.
func (c *Client) SetRolloutPercent(ctx context.Context, percent float64) (out Rollout, err error) {
	return out, c.call(ctx, http.MethodPost, "/v1/rollout/percent", map[string]float64{"percent": percent}, &out)
}

// PromoteRollout gives the staged rules to everybody.
func (c *Client) PromoteRollout(ctx context.Context) (out Rollout, err error) {
	return out, c.call(ctx, http.MethodPost, "/v1/rollout/promote", nil, &out)
}

// AbortRollout takes the staged rules away.
func (c *Client) AbortRollout(ctx context.Context) (out Rollout, err error) {
	return out, c.call(ctx, http.MethodPost, "/v1/rollout/abort", nil, &out)
}
