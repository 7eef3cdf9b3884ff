package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"

	"meridian/gateway/cors"
	"meridian/gateway/openapi"
	"meridian/gateway/placement"
	"meridian/internal/stricthttp"
)

// A Gateway serves one API in one region. It owns no listener and starts
// nothing; its handlers may be called by many goroutines at once.
type Gateway struct {
	cfg     Config
	deps    Deps
	table   atomic.Pointer[table]
	budget  *budget
	metrics *metrics
	watch   *stricthttp.Watch
	book    *placement.Book     // what routes were seen to do
	flights map[string]*flights // by function

	off guard // what the negative controls of the tests turn off
}

// A guard is one of the promises that tests break on purpose.
type guard int

const (
	allGuardsOn    guard = iota
	withoutFloor         // consistency tokens are ignored
	withoutSeal          // whatever a token says is believed
	withoutStrip         // strangers are believed as edges are
	withoutReading       // what programs read differently is let in
	withoutAdmit         // whoever asks may use a route
	withoutOnce          // a request that was placed here may be placed again
	withoutFate          // a token that went down with an old primary is good
	withoutDoubt         // what may have been executed elsewhere runs at home too
	withoutOnly          // what was executed by its key is executed again
)

// A table is one version of the API. It is immutable.
type table struct {
	*openapi.API
	cors *cors.Policy
}

// New returns a gateway that serves c.API.
func New(c Config, d Deps) (*Gateway, error) {
	switch {
	case d.Invoke == nil:
		return nil, errors.New("gateway: expected an Invoker")
	case d.Forward != nil && d.Map == nil:
		return nil, errors.New("gateway: expected a Map beside Forward")
	case c.Placement != "" && !slices.Contains(placement.Modes, c.Placement):
		return nil, fmt.Errorf("gateway: placement %q; expected auto, local or primary", c.Placement)
	}
	g := &Gateway{cfg: c.withDefaults(), deps: d.withDefaults(), book: placement.NewBook(), flights: map[string]*flights{}}
	for name, f := range c.Functions {
		g.flights[name] = &flights{limit: f.AtOnce}
	}
	g.deps.Log = g.deps.Log.With("hop", "gateway", "region", c.Region)
	g.budget = newBudget(g.cfg.Limits.InFlight)
	var err error
	if g.metrics, err = newMetrics(d.Metrics, g.budget); err != nil {
		return nil, err
	}
	g.watch = stricthttp.NewWatch(g.metrics.cuts, g.deps.Log, g.deps.Now)
	if err := g.Load(g.cfg.APIPath, g.cfg.API); err != nil {
		return nil, err
	}
	return g, nil
}

// Load replaces the API by what a file of that name says. Requests under way
// keep the API that they began with. If the file has mistakes, Load returns
// them all, as openapi.Problems, and the gateway goes on with the API that it
// has.
func (g *Gateway) Load(name string, file []byte) error {
	t, err := g.read(name, file)
	g.metrics.loaded(err)
	if err != nil {
		return err
	}
	g.table.Store(t)
	g.book.Keep(t.has)
	for _, note := range t.Notes {
		g.deps.Log.Info("api note", "file", name, "note", note)
	}
	g.deps.Log.Info("api loaded", "file", name, "title", t.Title, "version", t.Version, "routes", len(t.Routes))
	return nil
}

// has reports whether a route of that key is in the table.
func (t *table) has(key string) bool {
	return slices.ContainsFunc(t.Routes, func(r openapi.Route) bool { return r.Key.String() == key })
}

func (g *Gateway) read(name string, file []byte) (*table, error) {
	api, err := openapi.Parse(name, file, openapi.Known{
		Functions:    slices.Collect(maps.Keys(g.cfg.Functions)),
		Authorizers:  g.cfg.Authorizers,
		Certificates: g.cfg.Certificates,
	})
	if err != nil {
		return nil, err
	}
	t := &table{API: api}
	rules := api.CORS
	if g.cfg.CORS != nil {
		rules = g.cfg.CORS
	}
	if rules != nil {
		if t.cors, err = cors.New(*rules); err != nil {
			return nil, fmt.Errorf("cors: %w", err)
		}
	}
	return t, nil
}

// Inner returns the handler for the backbone. It trusts Meridian-* and
// X-Forwarded-For: whoever can reach it is an edge.
func (g *Gateway) Inner() http.Handler { return g.door(true) }

// Public returns the handler for strangers. Whoever serves it keeps from it what is
// no one request by its bytes (package stricthttp), and tells Cut of that.
func (g *Gateway) Public() http.Handler { return g.door(false) }

func (g *Gateway) door(trusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !trusted && g.off != withoutStrip {
			stripClientCert(r.Header)
			stripForged(r.Header)
		}
		x := g.begin(w, r, trusted || g.off == withoutStrip)
		defer x.end()
		x.serve()
	})
}
