package edge

import (
	"reflect"
	"slices"

	"meridian/edge/origin"
)

// Rules are what of an edge can change while it runs.
type Rules struct {
	Behaviors []Behavior
	Origins   []origin.CustomConfig
	Guard     Guard
}

// A ruleset is Rules made ready. It is fixed: a request keeps the one that it
// began with.
type ruleset struct {
	behaviors []Behavior
	customs   map[string]*origin.Custom
	door      *Guard // of the whole edge
}

// Prepare checks rules, and returns what puts them in the place of those in
// force: requests that began before keep theirs. Of an origin that is as before
// the connections stay; those of one that is not end with their requests. What
// is cached stays, for no longer than the new policy of its path allows.
func (e *Edge) Prepare(r Rules) (swap func(), err error) {
	cfg := e.cfg
	cfg.Behaviors, cfg.Origins = r.Behaviors, r.Origins
	if err := cfg.checkBehaviors(); err != nil {
		return nil, err
	}
	bs := ready(r.Behaviors)
	r.Guard.ready()
	return func() {
		e.swapping.Lock()
		defer e.swapping.Unlock()
		old := e.rules.Load()
		next := &ruleset{bs, map[string]*origin.Custom{}, &r.Guard}
		for _, c := range r.Origins {
			if was := old.customs[c.Name]; was != nil && sameOrigin(was.Config(), c) {
				next.customs[c.Name] = was
				continue
			}
			next.customs[c.Name] = origin.NewCustom(c, nil)
		}
		e.rules.Store(next)
		for name, c := range old.customs {
			if next.customs[name] != c {
				c.Close()
			}
		}
		e.metrics.swapped.Inc()
	}, nil
}

// ready returns behaviours with what is made of them once, at the start and of
// each new file.
func ready(bs []Behavior) []Behavior {
	bs = slices.Clone(bs)
	for i := range bs {
		bs[i].Guard.ready()
		bs[i].viewer = bs[i].told()
	}
	return bs
}

// sameOrigin reports whether two origins are spoken to in the same way.
func sameOrigin(a, b origin.CustomConfig) bool {
	if a.URL.String() != b.URL.String() || (a.Roots == nil) != (b.Roots == nil) || a.Roots != nil && !a.Roots.Equal(b.Roots) {
		return false
	}
	a.URL, a.Roots, b.URL, b.Roots = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}
