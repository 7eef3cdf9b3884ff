package cache

import (
	"net/http"
	"strings"
	"time"
)

func asSeconds(n int64) time.Duration {
	if n > int64(maxDelta/time.Second) {
		return maxDelta
	}
	return time.Duration(n) * time.Second
}

// A lifetime is how long a response is fresh, and why.
type lifetime struct {
	d        time.Duration
	explicit bool // the response says so itself
	why      string
}

// lifetimeOf decides how long a response is fresh (RFC 9111, section 4.2.1),
// within what the policy allows.
func lifetimeOf(status int, h http.Header, d directives, targeted bool, p Policy, now time.Time) lifetime {
	p = p.of(status)
	l, ok := explicit(h, d, targeted, now)
	switch {
	case p.MinTTL > 0 && (d.noStore || d.private || d.noCache):
		return lifetime{min(p.MinTTL, p.MaxTTL), false, "the policy's minimum"}
	case !ok:
		l = implied(status, h, d, p, now)
	case status >= 400 && p.ErrorTTL[status] > l.d:
		l = lifetime{p.ErrorTTL[status], false, "the policy's time for this status"}
	}
	switch {
	case l.d > p.MaxTTL:
		l.d, l.why = p.MaxTTL, l.why+", cut to the policy's maximum"
	case l.d < p.MinTTL:
		l = lifetime{min(p.MinTTL, p.MaxTTL), false, "the policy's minimum"}
	}
	return l
}

// explicit returns what a response says of its own lifetime.
func explicit(h http.Header, d directives, targeted bool, now time.Time) (lifetime, bool) {
	switch {
	case d.sMaxAge.set:
		return lifetime{d.sMaxAge.d, true, "s-maxage"}, true // 0 if its value is bad
	case d.maxAge.set:
		return lifetime{d.maxAge.d, true, "max-age"}, true
	case targeted || len(h["Expires"]) == 0:
		return lifetime{}, false
	}
	expires, ok := parseDate(h["Expires"][0])
	if !ok { // RFC 9111, section 5.3: as if it were in the past
		return lifetime{0, true, "an Expires that is no date"}, true
	}
	return lifetime{max(expires.Sub(dateOf(h, now)), 0), true, "Expires"}, true
}

// implied returns how long a response is fresh that does not say.
func implied(status int, h http.Header, d directives, p Policy, now time.Time) lifetime {
	if status >= 400 {
		if ttl, ok := p.ErrorTTL[status]; ok {
			return lifetime{ttl, false, "the policy's time for this status"}
		}
	}
	if p.Heuristic && (heuristic(status) || d.public) {
		if modified, ok := parseDate(h.Get("Last-Modified")); ok {
			if old := dateOf(h, now).Sub(modified); old > 0 {
				return lifetime{min(old/10, maxHeuristic), false, "a tenth of the time since Last-Modified"}
			}
		}
	}
	if heuristic(status) && status < 400 {
		return lifetime{p.DefaultTTL, false, "the policy's default"}
	}
	return lifetime{0, false, "nothing says that it is fresh"}
}

// maxHeuristic bounds a lifetime that nobody stated.
const maxHeuristic = 24 * time.Hour

// heuristic reports whether a response of this status may be fresh without
// saying so (RFC 9110, section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood reports whether this cache knows what a status asks of it
// (RFC 9111, section 5.2.2.3).
func understood(status int) bool {
	return http.StatusText(status) != "" && status != 304
}

// dateOf returns when a response was made; now if it does not say.
func dateOf(h http.Header, now time.Time) time.Time {
	if t, ok := parseDate(h.Get("Date")); ok {
		return t
	}
	return now
}

// initialAge is the age of a response as it came (RFC 9111, section 4.2.3). Of
// several values in Age the first holds, and one that is no number is ignored
// (section 5.1). It has no parameters; who sends some means the number.
func initialAge(h http.Header, delay time.Duration, now time.Time) time.Duration {
	stated := delta{}
	if lines := h["Age"]; len(lines) > 0 {
		first, _ := cutList(lines[0])
		number, _, _ := strings.Cut(first, ";")
		stated = parseDelta(number)
	}
	apparent := max(now.Sub(dateOf(h, now)), 0)
	if apparent < time.Second { // Date counts whole seconds
		apparent = 0
	}
	return max(apparent, stated.d+delay)
}
