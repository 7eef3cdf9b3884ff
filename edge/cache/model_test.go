package cache

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A model is what is stored, in the words of the RFCs.
type model struct {
	policy  Policy
	entries map[string][]*entry // the newest first
	failed  map[string]int      // until when an origin that failed is not asked where it may be stale
	answers []said
}

type entry struct {
	said
	path, v     string
	since, born int // when it came, and its age then
}

func (e *entry) age(now int) int { return e.born + now - e.since }

// says returns the value of a directive.
func says(cc, name string) (int, bool) {
	for d := range strings.SplitSeq(cc, ", ") {
		if n, v, _ := strings.Cut(d, "="); n == name {
			seconds, err := strconv.Atoi(v)
			if err != nil {
				seconds = 1 << 30
			}
			return seconds, true
		}
	}
	return 0, false
}

func has(cc, name string) bool { _, ok := says(cc, name); return ok }

func secs(d time.Duration) int { return int(d / time.Second) }

// stated is what a response says of its own lifetime.
func (a said) stated() (int, bool) {
	if s, ok := says(a.cc, "s-maxage"); ok {
		return s, true
	}
	if s, ok := says(a.cc, "max-age"); ok {
		return s, true
	}
	return max(a.expires, 0), a.expires >= 0
}

// life is CloudFront's table.
func (m *model) life(a said) float64 {
	low, high := float64(secs(m.policy.MinTTL)), float64(secs(m.policy.MaxTTL))
	if a.status >= 400 {
		low = 0
	}
	stated, ok := a.stated()
	n, negative := float64(stated), float64(secs(m.policy.ErrorTTL[a.status]))
	switch known := slices.Contains([]int{200, 301, 404}, a.status); {
	case low > 0 && (has(a.cc, "no-store") || has(a.cc, "no-cache") || has(a.cc, "private")):
		return low
	case ok:
		n = max(n, negative)
	case negative > 0:
		n = negative
	case m.policy.Heuristic && a.old > 0 && (known || has(a.cc, "public")):
		n = float64(a.old) / 10
	case known && a.status < 400:
		n = float64(secs(m.policy.DefaultTTL))
	}
	return min(max(n, low), high)
}

// keeps reports whether a response may be stored, and is worth it.
func (m *model) keeps(q ask, a said) bool {
	least := m.policy.MinTTL > 0 && a.status < 400
	switch {
	case has(q.cc, "no-store"), !least && (has(a.cc, "no-store") || has(a.cc, "private")):
		return false
	case q.auth && !has(a.cc, "public") && !has(a.cc, "must-revalidate") && !has(a.cc, "s-maxage"):
		return false
	}
	validator := a.etag || a.old >= 0
	if a.cookie && (!m.said(a) || m.life(a) == 0) {
		return false
	}
	if has(a.cc, "no-cache") && !least && !validator {
		return false
	}
	return m.life(a) > 0 || validator && slices.Contains([]int{200, 301, 404}, a.status)
}

// said reports whether the lifetime that counts is the response's own word.
func (m *model) said(a said) bool {
	n, ok := a.stated()
	least := m.policy.MinTTL
	if a.status >= 400 {
		least = 0
	}
	return ok && n >= secs(least) && n >= secs(m.policy.ErrorTTL[a.status]) && !(least > 0 && (has(a.cc, "no-store") || has(a.cc, "no-cache") || has(a.cc, "private")))
}

// key is what the policy tells requests apart by.
func (m *model) key(q ask) string {
	_, query, _ := strings.Cut(q.target, "?")
	var kept []string
	for p := range strings.SplitSeq(query, "&") {
		name := p[:min(len(p), 1)]
		if s := m.policy.Query; p != "" && (s.Mode == All || s.Mode == Allow && name == "a" || s.Mode == AllExcept && name != "a") {
			kept = append(kept, p)
		}
	}
	cookie := ""
	if c := m.policy.Cookies; c.Mode == Allow && (q.cookie == "s=1" || q.cookie == "s2=1" && len(c.Wild) > 0) {
		cookie = q.cookie
	}
	return q.path + "?" + strings.Join(kept, "&") + "#" + cookie
}

// A planned is what is to happen.
type planned struct {
	asks          int
	reply, why    string
	e             *entry
	serve, silent bool // answer with e at once; ask behind the client's back
	bridge, quiet bool // e stands for a failure of the origin; or where nothing is heard of it
}

func (m *model) plan(q ask, now int) planned {
	p := planned{why: "nothing fits"}
	if q.method == "POST" {
		return p
	}
	for _, e := range m.entries[m.key(q)] {
		if !e.vary || e.v == q.v {
			p.e = e
			break
		}
	}
	if p.e != nil {
		m.judge(&p, q, now)
	}
	return p
}

// judge decides on a stored response.
func (m *model) judge(p *planned, q ask, now int) {
	e, life := p.e, m.life(p.e.said)
	age, least := float64(e.age(now)), m.policy.MinTTL > 0 && e.status < 400
	late := max(age-life, 0)
	window := func(name string, policy time.Duration) float64 {
		if n, ok := says(e.cc, name); ok {
			return float64(min(n, secs(m.policy.MaxTTL)))
		}
		return float64(secs(policy))
	}
	strict, shared := has(e.cc, "must-revalidate") || has(e.cc, "proxy-revalidate"), has(e.cc, "s-maxage")
	onError := window("stale-if-error", m.policy.StaleIfError)
	if n, ok := says(q.cc, "stale-if-error"); ok && !shared {
		onError = max(onError, float64(n))
	}
	unheard := float64(min(secs(m.policy.StaleIfUnreachable), secs(m.policy.MaxTTL)))
	if has(e.cc, "stale-if-error") {
		unheard = window("stale-if-error", 0)
	}
	if shared || life <= 0 {
		unheard = 0
	}
	bridge, quiet := !strict && late < onError, !strict && late < unheard
	whiles := !strict && late < window("stale-while-revalidate", m.policy.StaleWhileRevalidate)
	maxAge, asksAge := says(q.cc, "max-age")
	minFresh, asksFresh := says(q.cc, "min-fresh")
	maxStale, letsStale := says(q.cc, "max-stale")
	switch {
	case has(q.cc, "no-cache"):
		p.why = "the request says no-cache"
	case asksAge && (age > float64(maxAge) || maxAge == 0), asksFresh && life-age < float64(minFresh):
		p.why, p.bridge, p.quiet = "the request wants a newer one", (bridge || whiles) && !has(e.cc, "no-cache"), quiet && !has(e.cc, "no-cache")
	case has(e.cc, "no-cache") && !least:
		p.why = "no-cache"
	case age < life:
		p.why, p.serve = "fresh", true
	case whiles:
		p.why, p.serve, p.silent = "stale-while-revalidate", true, true
	case bridge && now < m.failed[m.key(q)]:
		p.why, p.serve = "stale-if-error, and it failed a moment ago", true
	case letsStale && late <= float64(maxStale) && !strict && !shared && !bridge:
		p.why, p.serve = "the request's max-stale", true
	default:
		p.why, p.bridge, p.quiet = "stale", bridge, quiet
	}
}

// settle takes what the origin said, and completes what was to happen.
func (m *model) settle(q ask, p planned, answers []said, now int) planned {
	stored := func(why string) planned {
		p.reply, p.why = fmt.Sprintf("%d %q age=%d", p.e.status, p.e.body, p.e.age(now)), p.why+"; "+why
		return p
	}
	switch {
	case p.serve && !p.silent:
		return stored("from what is stored")
	case !p.serve && has(q.cc, "only-if-cached"):
		p.reply = `504 "" age=`
		return p
	}
	p.asks = 1
	if p.silent {
		stored("served stale")
	}
	if len(answers) != 1 {
		return p
	}
	a, key := answers[0], m.key(q)
	failing := a.status == 500 || a.status == 503
	switch {
	case a.breaks:
		switch {
		case p.silent:
			m.failed[key] = now + 1
		case p.bridge || p.quiet:
			m.failed[key] = now + 1
			return stored("nothing is heard")
		default:
			p.reply = "nothing"
		}
		return p
	case a.valid:
		e := m.renew(q, key, p.e, a, now)
		if !p.silent {
			p.e = e
			return stored("it holds")
		}
		return p
	case failing && (p.silent || p.bridge):
		m.failed[key] = now + 1
		if p.silent {
			return p
		}
		return stored("the origin failed")
	}
	kept := q.method == "GET" && m.keeps(q, a)
	if !p.silent {
		p.reply = fmt.Sprintf("%d %q age=%s", a.status, a.body, a.shown(kept))
	}
	if q.method == "POST" {
		m.ends(q, a)
	} else if kept {
		m.store(q, key, a, now)
	}
	return p
}

// shown is the Age of what was just fetched: what is stored has it if it came with one.
func (a said) shown(kept bool) string {
	if n := max(a.age, a.dated); kept && n > 0 {
		return strconv.Itoa(n)
	}
	return ""
}

func (m *model) store(q ask, key string, a said, now int) {
	e := &entry{said: a, path: q.path, v: q.v, since: now, born: max(a.age, a.dated)}
	rest := slices.DeleteFunc(slices.Clone(m.entries[key]), func(o *entry) bool { return o.vary == e.vary && (!e.vary || o.v == e.v) })
	m.entries[key] = append([]*entry{e}, rest...)
}

// renew is RFC 9111, section 4.3.4.
func (m *model) renew(q ask, key string, old *entry, a said, now int) *entry {
	e := *old
	if a.cc != "" {
		e.cc = a.cc
	}
	if e.expires >= 0 { // it stands from the date of the first response
		e.expires = max(e.expires-(now-a.dated-(old.since-old.said.dated)), 0)
	}
	if e.old >= 0 {
		e.old += now - a.dated - (old.since - old.said.dated)
	}
	e.dated, e.since, e.born = a.dated, now, a.dated
	rest := slices.DeleteFunc(slices.Clone(m.entries[key]), func(o *entry) bool { return o == old })
	if m.entries[key] = rest; m.keeps(ask{cc: "", auth: false}, e.said) {
		m.entries[key] = append([]*entry{&e}, rest...)
	}
	return &e
}

func (m *model) ends(q ask, a said) {
	if a.status >= 400 {
		return
	}
	for key, list := range m.entries {
		m.entries[key] = slices.DeleteFunc(list, func(e *entry) bool { return e.path == q.path })
	}
}
