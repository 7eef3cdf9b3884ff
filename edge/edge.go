package edge

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"meridian/edge/accesslog"
	"meridian/edge/cache"
	"meridian/edge/compress"
	"meridian/edge/function"
	"meridian/edge/limit"
	"meridian/edge/origin"
	"meridian/edge/pace"
	"meridian/edge/waf"
	"meridian/internal/framing"
)

// An Edge is one door of the API. Make one with New.
type Edge struct {
	cfg      Config
	deps     Deps
	origin   *origin.Origin
	rules    atomic.Pointer[ruleset]
	staging  atomic.Pointer[stage] // nil if there is no rollout
	cache    *cache.Cache
	compress *compress.Compressor
	hedges   *origin.Budget
	shield   *shield // nil if there is none, or it is this edge
	recall   recall
	tunnels  *tunnels
	metrics  *metrics
	retry    func(origin.Attempt) origin.Verdict

	crowd    *crowd
	watch    *watch
	drain    *drain
	pace     *pace.Watch
	swapping sync.Mutex // is held while rules are replaced

	https, http atomic.Value // of net.Addr, once they listen
	altSvc      atomic.Value // of string, once HTTP/3 listens

	limits *limit.Table
	bench  *waf.Bench
	log    *accesslog.Log // nil if there is none
}

// New returns an Edge that Run will open. It fails for a configuration that
// cannot work, and opens nothing.
func New(cfg Config, deps Deps) (*Edge, error) {
	cfg, err := cfg.defaults()
	if err != nil {
		return nil, err
	}
	if deps, err = deps.defaults(); err != nil {
		return nil, err
	}
	deps.Log = deps.Log.With("hop", "edge", "place", cfg.Place)
	crowd, watch, drain, pace := &crowd{limits: cfg.Limits}, newWatch(deps.Log, deps.Now), newDrain(cfg.Timeouts.Drain), pace.New(cfg.Limits.Pace, deps.Now)
	if deps.Engine == nil {
		deps.Engine = &netHTTP{cfg.Limits, cfg.Timeouts, deps.Log, deps.Now, crowd, watch, drain, pace}
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	e := &Edge{
		cfg: cfg, deps: deps, metrics: m, retry: origin.Retry, hedges: origin.NewBudget(cfg.Upstream.Hedges),
		crowd: crowd, watch: watch, drain: drain, pace: pace, limits: limit.NewTable(cfg.GuardClients, deps.Edges), bench: waf.NewBench(toBeJudged),
		origin: origin.New(cfg.origin(), origin.Deps{Map: deps.Map, Dial: deps.Dial, RTT: deps.RTT, Log: deps.Log, Turned: m.turned, Tell: deps.Tell}),
	}
	functions, err := function.New(cfg.Functions, function.Deps{Store: deps.Store, Resolve: e.resolve, Now: deps.Now, Log: deps.Log, Metrics: deps.Metrics})
	if err != nil {
		return nil, fmt.Errorf("edge %q: %w", cfg.Node, err)
	}
	e.rules.Store(&ruleset{behaviors: cfg.Behaviors, customs: customs(cfg.Origins), door: &cfg.Guard, functions: functions, lanes: &lanes{cfg: cfg.Lanes}})
	if deps.Metrics != nil {
		if err := errors.Join(deps.Metrics.Register(newQueues(e)), deps.Metrics.Register(newForgotten(e.limits.Forgotten)), e.watch.register(deps.Metrics, e.crowd)); err != nil {
			return nil, fmt.Errorf("register the edge's metrics: %w", err)
		}
	}
	e.shield = newShield(cfg, deps)
	if cfg.Cache.Name == "" {
		cfg.Cache.Name = string(cfg.Place) + ".meridian"
	}
	e.cache, err = cache.New(cfg.Cache, cache.Deps{Now: deps.Now, Log: deps.Log, Metrics: deps.Metrics, Invalidated: deps.Invalidated})
	if err != nil {
		return nil, err
	}
	e.compress = compress.New(compress.Config{Memory: cfg.Cache.Memory / 8})
	e.deps.Engine = &behind{e.deps.Engine, cfg.ProxyProtocol, e.refusedPeer}
	e.tunnels = newTunnels(cfg.Tunnels)
	if cfg.AccessLog != nil {
		if e.log, err = accesslog.New(*cfg.AccessLog, accesslog.Deps{Log: deps.Log, Metrics: deps.Metrics}); err != nil {
			return nil, err
		}
	}
	e.recall.size, e.recall.ttl = cfg.Limits.Remembered, cfg.Timeouts.Remember
	return e, nil
}

// Hear takes what another edge found broken.
func (e *Edge) Hear(from string, m origin.Rumour) { e.origin.Hear(from, m) }

// Purge ends the life of what this edge has stored, and returns how many
// responses that were.
func (e *Edge) Purge(p cache.Purge) int { return e.cache.Purge(p) }

// ServeHTTP answers one request. It is the whole edge but for connections, and
// works with any engine.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, shake := shaken(r)
	x := e.begin(w, r)
	e.serveViewer(x, r, shake)
	x.rest()
}

// serveViewer answers what a viewer asks.
func (e *Edge) serveViewer(x *exchange, r *http.Request, shake *shake) {
	defer x.end()
	x.w.altSvc, x.w.shut = e.announced(r), shake != nil && shake.stream != nil
	if a, ok := e.refuse(r); ok {
		x.answer(a)
		return
	}
	if x.shake = shake; x.refuseHandshake() {
		return
	}
	x.assign()
	x.behave()
	x.describe()
	if a, ok := x.behavior.admits(r.Method); !ok {
		x.answer(a)
		return
	}
	if a, ok := x.guard(); !ok {
		x.answer(a)
		return
	}
	if x.viewerRequest() {
		return
	}
	if err := x.prepare(); err != nil {
		x.fail(err)
		return
	}
	if x.shake != nil {
		x.tunnel()
		return
	}
	x.forward()
}

// refuse returns the answer to a request that no region should see.
func (e *Edge) refuse(r *http.Request) (answer, bool) {
	switch {
	case slices.Contains(neverTaken, r.Method):
		return refuseMethod, true
	case e.revoked(r):
		return refuseRevoked, true
	case tooEarly(r):
		return refuseEarly, true
	case headerSize(r) > e.cfg.Limits.Header:
		return refuseHeader, true
	}
	if a, flawed := refuseFlaw[framing.FlawOf(r)]; flawed {
		return a, true
	}
	if r.ContentLength > e.cfg.Limits.Body {
		return answerFor(tooLarge(e.cfg.Limits.Body)), true
	}
	return answer{}, false
}
