package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"meridian/edge/function"
	"meridian/edge/origin"
)

// Rules are what of an edge can change while it runs.
type Rules struct {
	Behaviors []Behavior
	Origins   []origin.CustomConfig
	Guard     Guard
	Functions []function.Source
	Lanes     Lanes
}

// A ruleset is Rules made ready. It is fixed: a request keeps the one that it
// began with.
type ruleset struct {
	behaviors []Behavior
	customs   map[string]*origin.Custom
	door      *Guard // of the whole edge
	version   string // of a rollout; "" of the current ones
	functions *function.Set
	lanes     *lanes
}

// Prepare checks rules, and returns what puts them in the place of those in
// force: requests that began before keep theirs. Of an origin that is as before
// the connections stay; those of one that is not end with their requests. What
// is cached stays, for no longer than the new policy of its path allows.
func (e *Edge) Prepare(r Rules) (swap func(), err error) {
	bs, functions, err := e.check(r)
	if err != nil {
		return nil, err
	}
	r.Guard.ready()
	return func() {
		e.swapping.Lock()
		defer e.swapping.Unlock()
		was, lanes := e.inUse()
		e.rules.Store(&ruleset{behaviors: bs, customs: e.ways(r.Origins, was), door: &r.Guard, functions: functions, lanes: e.lanesOf(r)})
		e.closeUnused(was, lanes)
		e.metrics.swapped.Inc()
	}, nil
}

// check returns the behaviours and functions of rules made ready, if this edge
// can make sense of them.
func (e *Edge) check(r Rules) ([]Behavior, *function.Set, error) {
	cfg := e.cfg
	cfg.Behaviors, cfg.Origins, cfg.Functions.Functions = r.Behaviors, r.Origins, r.Functions
	if err := errors.Join(cfg.checkBehaviors(), cfg.checkFunctions()); err != nil {
		return nil, nil, err
	}
	functions, err := e.rules.Load().functions.With(r.Functions)
	return ready(r.Behaviors, r.Origins, r.Functions), functions, err
}

// lanesOf returns the ways to origins that functions name: those in force, if
// they lead to the same networks.
func (e *Edge) lanesOf(r Rules) *lanes {
	if old := e.rules.Load().lanes; old.cfg.same(r.Lanes) {
		return old
	}
	return &lanes{cfg: r.Lanes}
}

// ways returns the ways to origins. Those that are as they were go on.
func (e *Edge) ways(origins []origin.CustomConfig, was []*origin.Custom) map[string]*origin.Custom {
	out := map[string]*origin.Custom{}
	for _, c := range origins {
		i := slices.IndexFunc(was, func(o *origin.Custom) bool { return o.Config().Name == c.Name && sameOrigin(o.Config(), c) })
		if i >= 0 {
			out[c.Name] = was[i]
			continue
		}
		out[c.Name] = origin.NewCustom(c, nil)
	}
	return out
}

// inUse returns the ways that some rules name, and those that functions name.
func (e *Edge) inUse() (out []*origin.Custom, by []*lanes) {
	for _, c := range e.rules.Load().customs {
		out = append(out, c)
	}
	by = append(by, e.rules.Load().lanes)
	if s := e.staging.Load(); s != nil {
		by = append(by, s.rules.lanes)
		for _, c := range s.rules.customs {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out, by
}

// closeUnused ends the ways of those that were in use which no rules name now.
func (e *Edge) closeUnused(was []*origin.Custom, by []*lanes) {
	now, still := e.inUse()
	for _, l := range by {
		if !slices.Contains(still, l) {
			l.close()
		}
	}
	for _, c := range was {
		if !slices.Contains(now, c) {
			c.Close()
		}
	}
}

// ready returns behaviours with what is made of them once, at the start and of
// each new file.
func ready(bs []Behavior, origins []origin.CustomConfig, functions []function.Source) []Behavior {
	bs = slices.Clone(bs)
	for i := range bs {
		b := &bs[i]
		b.Guard.ready()
		b.viewer = b.told()
		at := slices.IndexFunc(origins, func(o origin.CustomConfig) bool { return o.Name == b.Origin })
		if b.made = ""; at >= 0 {
			b.made = b.makes(&origins[at], functions)
		} else {
			b.made = b.makes(nil, functions)
		}
	}
	return bs
}

// makes returns what names the way by which a behaviour's responses come about,
// as far as their key does not hold it: "" of a behaviour that changes nothing.
// How long they are kept is no part of it.
func (b *Behavior) makes(o *origin.CustomConfig, functions []function.Source) string {
	does := func(name string) string {
		i := slices.IndexFunc(functions, func(s function.Source) bool { return s.Name == name })
		if i < 0 {
			return name
		}
		return fmt.Sprintf("%s %x %s", name, sha256.Sum256(functions[i].Code), functions[i].Store)
	}
	text := fmt.Sprint(b.Request.Headers, b.Request.Cookies, b.Request.Query, b.Encodings, b.viewer, does(b.Functions.ViewerRequest), does(b.Functions.OriginRequest), does(b.Functions.OriginResponse))
	plain := Behavior{}
	if o == nil && b.Cache == nil && text == fmt.Sprint(plain.Request.Headers, plain.Request.Cookies, plain.Request.Query, plain.Encodings, plain.viewer, "", "", "") {
		return ""
	}
	if c := b.Cache; c != nil {
		text += fmt.Sprint(b.stores(http.MethodGet), c.Headers, c.Cookies, c.Query)
	}
	if o != nil {
		text += fmt.Sprint(o.URL, o.H2C, o.HostHeader, o.Headers) // fmt sorts maps by their keys
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// sameOrigin reports whether two origins are spoken to in the same way.
func sameOrigin(a, b origin.CustomConfig) bool {
	if a.URL.String() != b.URL.String() || (a.Roots == nil) != (b.Roots == nil) || a.Roots != nil && !a.Roots.Equal(b.Roots) {
		return false
	}
	a.URL, a.Roots, b.URL, b.Roots = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}
