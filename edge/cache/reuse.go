package cache

import (
	"net/http"
	"time"
)

// A plan is what is done for a request.
type plan string

// The plans.
const (
	serve    plan = "serve"    // answer from what is stored
	refresh  plan = "refresh"  // answer from it, and ask the origin behind the client's back
	validate plan = "validate" // ask the origin first
)

// A choice is a plan with its reason, and what may be done if the origin fails.
type choice struct {
	do       plan
	why      string
	fwd      string // RFC 9211, section 2.2: why the origin is asked
	stale    bool   // what is served is stale
	fallback bool   // what is stored may be served if the origin fails
	unheard  bool   // and if nothing is heard of it
	hurry    bool   // silence counts as a failure
	detail   string
}

// A candidate is what reuse decides on: a stored response that a request
// selects, and the request.
type candidate struct {
	age     time.Duration
	life    time.Duration
	stored  directives
	asked   directives // of the request
	policy  Policy
	stale   bool          // whatever its age
	softFor time.Duration // since it was made stale
	covered verdict
	before  bool // its fetch began before the time that the request wants
	down    bool // no origin can be reached
	failed  bool // the origin failed a moment ago
}

// reuse decides whether a stored response answers a request (RFC 9111, section
// 4), and whether it may be served stale (section 4.2.4, RFC 5861).
func reuse(c candidate) choice {
	fresh := c.age < c.life && !c.stale
	if !c.covered.ok {
		return choice{do: validate, why: c.covered.why, fwd: "stale", detail: "consistency"}
	}
	if why, asks := c.requestAsks(); asks {
		ch := choice{do: validate, why: why, fwd: "request"}
		if late := c.afterFreshness("", c.stale); !c.asked.noCache && !c.stored.noCache {
			ch.fallback, ch.unheard, ch.hurry = late.fallback, late.unheard, late.hurry
		}
		return ch
	}
	if c.stored.noCache && c.policy.MinTTL <= 0 {
		return choice{do: validate, why: "no-cache", fwd: "stale"}
	}
	if c.before {
		c.policy.StaleIfUnreachable = 0 // it may be what somebody wanted gone
		ch := c.afterFreshness("it was fetched before a purge that may concern it", true)
		ch.detail = "unconfirmed"
		ch.fallback = ch.fallback || fresh
		ch.hurry = ch.fallback
		if ch.do == refresh && !c.down && !c.failed {
			ch.do = validate
		}
		return ch
	}
	if fresh {
		return choice{do: serve, why: "fresh"}
	}
	return c.afterFreshness("stale", c.stale)
}

// requestAsks reports whether the request wants what is stored to be newer than
// it is (RFC 9111, section 5.2.1).
func (c candidate) requestAsks() (string, bool) {
	a := c.asked
	switch {
	case a.noCache:
		return "the request says no-cache", true
	case a.maxAge.set && !a.maxAge.bad && (c.age > a.maxAge.d || a.maxAge.d == 0):
		return "the request's max-age", true
	case a.minFresh.set && !a.minFresh.bad && c.life-c.age < a.minFresh.d:
		return "the request's min-fresh", true
	}
	return "", false
}

// afterFreshness decides on a response that is stale.
func (c candidate) afterFreshness(why string, made bool) choice {
	late := max(c.age-c.life, 0)
	if made {
		late = max(late, c.softFor)
	}
	strict := c.stored.mustRevalidate || c.stored.proxyRevalidate
	ch := choice{do: validate, why: why, fwd: "stale", stale: true}
	if strict {
		ch.why += ", and must be validated"
		return ch
	}
	while := window(c.stored.whileRevalidate, c.policy.StaleWhileRevalidate, c.policy)
	onError := window(c.stored.ifError, c.policy.StaleIfError, c.policy)
	if c.asked.ifError.set && !c.asked.ifError.bad && !c.stored.sMaxAge.set {
		onError = max(onError, c.asked.ifError.d)
	}
	ch.unheard = late < c.unheardFor()
	switch {
	case late < while:
		ch.do, ch.why, ch.fallback = refresh, "stale-while-revalidate", true
	case late < onError && c.down:
		ch.do, ch.why, ch.fallback = refresh, "stale-if-error: no region can be reached", true
	case late < onError && c.failed:
		ch.do, ch.why, ch.fallback = serve, "stale-if-error: the origin failed a moment ago", true
	case late < onError:
		ch.fallback = true
	case ch.unheard && c.down && c.failed:
		ch.do, ch.why = refresh, "no region can be reached, and none was a moment ago"
	case c.asked.maxStale.set && !c.asked.maxStale.bad && late <= c.asked.maxStale.d && !c.stored.sMaxAge.set && !made:
		ch.do, ch.why = serve, "the request's max-stale"
	}
	ch.hurry = ch.fallback || ch.unheard && c.down
	return ch
}

// unheardFor returns how long past its freshness a response may be served where
// nothing is heard of the origin: RFC 9111, section 4.2.4, lets a cache that is
// disconnected serve what is stale, if nothing forbids it. Who says how long an
// error is bridged has said it of this too, and what was never fresh is not
// served by nobody's word.
func (c candidate) unheardFor() time.Duration {
	switch {
	case c.stored.sMaxAge.set || c.life <= 0: // RFC 9111, section 5.2.2.10
		return 0
	case c.stored.ifError.set:
		return window(c.stored.ifError, 0, c.policy)
	}
	return min(c.policy.StaleIfUnreachable, c.policy.MaxTTL)
}

// window returns how long past its freshness a response may be served: as it
// says itself, or as the policy does.
func window(said delta, policy time.Duration, p Policy) time.Duration {
	if said.set {
		return min(said.d, p.MaxTTL)
	}
	return policy
}

// requested returns what a request's Cache-Control and Pragma say.
func requested(h http.Header) directives {
	lines := h["Cache-Control"]
	if len(lines) == 0 {
		if p := h["Pragma"]; len(p) > 0 { // RFC 9111, section 5.4
			d := parseDirectives(p)
			return directives{noCache: d.noCache}
		}
		return directives{}
	}
	return parseDirectives(lines)
}
