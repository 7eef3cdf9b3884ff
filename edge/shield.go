package edge

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/edge/origin"
	"meridian/identity"
	"meridian/topology"
)

// headerPurged names to the shield the purges that this edge applied lately: it
// may not have heard of them, and must not answer with what is purged here.
const headerPurged = "Meridian-Purged"

// A Shielding is what ChooseShield decides on.
type Shielding struct {
	Shield   meridian.Region // the place of the shield; "" if there is none
	Place    meridian.Region // where this edge stands
	Inner    bool            // the request came from another edge
	Method   string
	Body     bool
	Stores   bool         // its policy stores responses
	Unstored bool         // the shield stored nothing of this path lately
	Up       bool         // the shield's edge, as the map says
	State    origin.State // of the way there
	Why      string       // of State
}

// ChooseShield decides whether a miss goes to the shield's edge, and why or why
// not. Only what could be stored there does: all else would only go a longer
// way. What came from another edge never goes to a third, so there is no loop.
// No request waits for a way that is not there.
func ChooseShield(s Shielding) (through bool, why string) {
	switch {
	case s.Shield == "":
		return false, "there is no shield"
	case s.Inner:
		return false, "it came from another edge"
	case s.Shield == s.Place:
		return false, "this is the shield"
	case s.Method != http.MethodGet && s.Method != http.MethodHead || s.Body:
		return false, "only GET and HEAD without a body are cached"
	case !s.Stores:
		return false, "its policy stores nothing"
	case s.Unstored:
		return false, "the shield stored nothing of this path lately"
	case !s.Up:
		return false, fmt.Sprintf("%s is down", s.Shield)
	case s.State == origin.Broken, s.State == origin.Warming:
		return false, fmt.Sprintf("%s %s", s.Shield, s.Why)
	case s.State == origin.Cold:
		return false, fmt.Sprintf("%s is not connected", s.Shield)
	}
	return true, fmt.Sprintf("%s collects misses", s.Shield)
}

// A shield is this edge's way to the edge that collects misses.
type shield struct {
	place meridian.Region
	way   *origin.Origin
	pass  passes
}

// newShield returns the way to the shield of cfg, or nil if there is none.
func newShield(cfg Config, deps Deps) *shield {
	if cfg.Shield == "" || cfg.Shield == cfg.Place || deps.DialShield == nil {
		return nil
	}
	only := &topology.Map{} // of one place: what becomes of it is seen by the connections
	only.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: cfg.Shield, Healthy: true}}})
	return &shield{place: cfg.Shield, way: origin.New(cfg.origin(), origin.Deps{Map: only, Dial: deps.DialShield, Log: deps.Log})}
}

// viaShield asks the shield, if it should be asked. It returns nil if a region
// must be asked in its place: a request that may be cached is safe to repeat.
func (x *exchange) viaShield(left time.Duration) *http.Response {
	if x.shield == nil || x.route != nil { // it would choose for itself
		return nil
	}
	through, why := ChooseShield(x.shielding())
	if !through {
		return nil
	}
	x.shield.way.Choose(nil) // after a failure, this one is the probe
	ctx, span := x.deps.Tracer.Start(x.r.Context(), "shield", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	req := x.outward(left)
	propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))
	early := &interim{x: x}
	resp, err := x.shield.way.RoundTrip(req.WithContext(ctx), origin.Trip{Region: x.shield.place, FirstByte: max(left, time.Millisecond), Interim: early.pass, Opening: x.opening, Waiting: origin.Waiting{Elsewhere: true, Movable: true}})
	early.end()
	if err == nil && resp.Header.Get(headerShield) == unversioned {
		resp.Body.Close()
		return nil
	}
	if err == nil && resp.Header.Get(headerShield) == "" { // it could not, or is none
		err = fmt.Errorf("%s answered %d, and not as a shield", x.shield.place, resp.StatusCode)
		resp.Body.Close()
		x.shield.way.Refused(x.shield.place)
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.String("place", string(x.shield.place)), attribute.String("why", why))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
	}
	if err != nil {
		x.deps.Log.Warn("the shield did not answer; a region is asked", "request", x.id, "shield", x.shield.place, "error", err)
		return nil
	}
	x.shielded(resp)
	x.began = x.deps.Now()
	x.choice = origin.Choice{Region: meridian.Region(resp.Header.Get("Meridian-Region")), Cause: byShield, Why: "by the shield: " + why}
	return resp
}

// byShield is the cause of a choice that the shield made.
const byShield origin.Cause = "shield"

func (x *exchange) shielding() Shielding {
	s := Shielding{
		Shield: x.shield.place, Place: x.cfg.Place, Inner: x.inner, Method: x.r.Method, Body: x.body != nil,
		Stores: x.caching().MaxTTL > 0, Unstored: x.shield.pass.has(x.passKey(), x.deps.Now()),
	}
	for _, e := range x.deps.Map.Now().Edges {
		s.Up = s.Up || e.Name == s.Shield && e.Healthy
	}
	s.State, s.Why = x.shield.way.State(s.Shield)
	return s
}

// outward makes the request for the shield: what a region would be sent, with
// the Host that the client named.
func (x *exchange) outward(left time.Duration) *http.Request {
	y := *x
	y.custom = nil // the shield asks it
	req := y.outgoing(left)
	req.Header.Set(identity.HeaderRequest, x.id)
	req.Header.Set(headerBehavior, applied(x.behavior.Behavior))
	if x.deps.Recent != nil {
		if recent := x.deps.Recent(); recent != "" {
			req.Header.Set(headerPurged, recent)
		}
	}
	if x.version != "" {
		req.Header.Set(headerVersion, x.version)
	}
	req.Host = cmp.Or(x.r.Host, x.cfg.Domain)
	req.URL = outURL(x.sent.String(x.sentQuery), req.Host)
	return req
}

// shielded reads what the shield says of itself off its response.
func (x *exchange) shielded(resp *http.Response) {
	if resp.Header.Get(headerShield) == unstored {
		x.shield.pass.add(x.passKey(), x.deps.Now())
	}
	delete(resp.Header, headerShield)
}

func (x *exchange) passKey() string { return x.version + "\x00" + x.r.Host + x.sent.path }

// passes remember the paths of which the shield stored nothing, for a while.
type passes struct {
	mu    sync.Mutex // guards what follows
	until map[string]time.Time
}

const (
	passFor   = time.Minute
	passesMax = 4096
)

func (p *passes) add(key string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil || len(p.until) >= passesMax { // they are learned again
		p.until = map[string]time.Time{}
	}
	p.until[strings.Clone(key)] = now.Add(passFor)
}

func (p *passes) has(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.until[key]
	return ok && now.Before(until)
}
