package edge

import (
	"cmp"
	"maps"
	"net/http"
	"strings"
	"time"

	"meridian/edge/accesslog"
	"meridian/edge/function"
	"meridian/edge/rollout"
	"meridian/identity"
)

const (
	// headerRollout tells viewers, while there is a rollout, its version and which
	// of the two arms they were given.
	headerRollout = "X-Meridian-Rollout"
	// headerVersion names to the shield the version that a request was given.
	headerVersion = "Meridian-Version"
	// unversioned is how a shield says that it does not have that version, and
	// asked nobody.
	unversioned = "unversioned"
)

// A stage is a second version of the rules, beside the current one. It is fixed
// but for its tally.
type stage struct {
	plan  rollout.Plan
	rules *ruleset
	tally *rollout.Tally
}

// A given is which of two versions an exchange was given. The zero one was none:
// there is no rollout.
type given struct {
	stage    *stage
	assigned string // why it was given that one
}

// Staged are rules that were found good, to be put beside the current ones.
type Staged struct {
	rules     Rules
	behaviors []Behavior
	functions *function.Set
}

// PrepareStage checks rules as Prepare does. It has no effect.
func (e *Edge) PrepareStage(r Rules) (*Staged, error) {
	bs, functions, err := e.check(r)
	if err != nil {
		return nil, err
	}
	r.Guard.ready()
	return &Staged{r, bs, functions}, nil
}

// Stage gives requests a second version of the rules, to those that p says. Of a
// version that is staged already only who has it changes, and a new step begins.
// Another that was staged ends, with its requests.
func (e *Edge) Stage(s *Staged, p rollout.Plan) {
	e.swapping.Lock()
	defer e.swapping.Unlock()
	e.metrics.percent.Set(p.Percent)
	if was := e.staging.Load(); was != nil && was.plan.Version == p.Version {
		e.staging.Store(&stage{p, was.rules, was.tally})
		was.tally.Begin()
		return
	}
	was, lanes := e.inUse()
	e.staging.Store(&stage{p, &ruleset{s.behaviors, e.ways(s.rules.Origins, was), &s.rules.Guard, p.Version, s.functions, e.lanesOf(s.rules)}, &rollout.Tally{}})
	e.closeUnused(was, lanes)
}

// Unstage gives every request that begins now the current version. rolledBack
// says for the metrics that the staged one was worse.
func (e *Edge) Unstage(rolledBack bool) {
	e.swapping.Lock()
	defer e.swapping.Unlock()
	was, lanes := e.inUse()
	e.metrics.percent.Set(0)
	if rolledBack && e.staging.Load() != nil {
		e.metrics.back.Inc()
	}
	e.staging.Store(nil)
	e.closeUnused(was, lanes)
}

// Rollout returns the version that is staged here, and what was counted of it
// and of the current one; "" if there is none.
func (e *Edge) Rollout() (version string, arms rollout.Arms) {
	s := e.staging.Load()
	if s == nil {
		return "", rollout.Arms{}
	}
	return s.plan.Version, s.tally.Arms(e.deps.Now())
}

// assign gives the request its version, once: what it does from now on, it does
// by that. The cookie of a rollout is between the client and the edge.
func (x *exchange) assign() {
	cookie := x.cutRolloutCookie()
	s := x.staging.Load()
	if s == nil {
		return
	}
	asking := rollout.Asking{Cookie: cookie, Client: clientKey(x.r), Request: x.id}
	if s.plan.Header != "" {
		asking.Header = strings.Join(x.r.Header[s.plan.Header], ",")
	}
	a := rollout.Assign(s.plan, asking)
	x.stage, x.assigned = s, a.Why
	if a.Staged {
		x.ruleset = s.rules
	}
	if a.Cookie != "" {
		x.w.sticky = (&http.Cookie{
			Name: rollout.Cookie, Value: a.Cookie, Path: "/", MaxAge: int(s.plan.Sticky / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		}).String()
	}
	x.w.Header().Set(headerRollout, x.arm())
}

// follow gives a request of another edge the version that it has there, if this
// edge has it.
func (x *exchange) follow() bool {
	version := x.r.Header.Get(headerVersion)
	if version == "" {
		return true
	}
	s := x.staging.Load()
	if s == nil || s.plan.Version != version {
		return false
	}
	x.ruleset, x.assigned = s.rules, "the other edge says so"
	return true
}

// arm names the version and which of the two it is, or is "" if there is no
// rollout.
func (x *exchange) arm() string {
	switch {
	case x.version != "":
		return x.version + "; staged"
	case x.stage != nil:
		return x.stage.plan.Version + "; current"
	}
	return ""
}

// tally counts what became of the request. Who went away says nothing of the
// version.
func (x *exchange) tally(took time.Duration) {
	if x.stage == nil || x.inner {
		return
	}
	f := x.fault()
	if f == accesslog.FaultClient {
		return
	}
	o := rollout.Outcome{Status: x.w.status, Took: took}
	o.Broken = f == accesslog.FaultOrigin || f == accesslog.FaultTimeout || f == accesslog.FaultConnect
	if x.ended != nil {
		o.Took = 0
	}
	x.stage.tally.Add(x.version != "", o, x.start.Add(took))
	x.metrics.tallied(x.version != "", x.w.status)
}

// clientKey returns what a client is known by before anything is verified: its
// credential, as far as that stays the same, or else its network.
func clientKey(r *http.Request) string {
	key, auth := r.Header.Get(identity.HeaderAPIKey), r.Header.Get("Authorization")
	if signed(r.Header) {
		_, auth, _ = strings.Cut(auth, "Credential=")
		auth, _, _ = strings.Cut(auth, "/") // the key, without the day
	}
	return cmp.Or(key, auth, networkOf(r.RemoteAddr))
}

// cutRolloutCookie takes the cookie of a rollout out of the request, and returns
// its value.
func (x *exchange) cutRolloutCookie() (value string) {
	lines := x.r.Header["Cookie"]
	for i, line := range lines {
		if !strings.Contains(line, rollout.Cookie) {
			continue
		}
		var rest []string
		for pair := range strings.SplitSeq(line, ";") {
			if name, v, _ := strings.Cut(strings.TrimSpace(pair), "="); name == rollout.Cookie {
				value = v
				continue
			}
			rest = append(rest, pair)
		}
		x.dropCookie(i, strings.TrimSpace(strings.Join(rest, ";")))
		return value
	}
	return ""
}

// dropCookie puts a line in the place of the ith of Cookie, in a copy of the
// request.
func (x *exchange) dropCookie(i int, line string) {
	h := maps.Clone(x.r.Header)
	lines := append([]string(nil), h["Cookie"]...)
	if lines[i] = line; line == "" {
		lines = append(lines[:i], lines[i+1:]...)
	}
	if h["Cookie"] = lines; len(lines) == 0 {
		delete(h, "Cookie")
	}
	x.r = x.r.WithContext(x.r.Context())
	x.r.Header = h
}
