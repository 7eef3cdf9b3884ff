package cache

import (
	"time"

	"meridian/internal/pathpattern"
)

// A Policy says what a behaviour stores, for how long, and what tells its
// requests apart: CloudFront's cache policy. The zero Policy stores nothing.
type Policy struct {
	Name string // in Cache-Status and in the log

	// MinTTL, DefaultTTL and MaxTTL bound how long a response is fresh, as
	// CloudFront's do: a response that says how long is kept to MinTTL and
	// MaxTTL, one that says nothing is fresh for DefaultTTL. MinTTL above zero
	// also stores what says no-store, no-cache or private, but for errors. MaxTTL
	// zero stores nothing.
	MinTTL, DefaultTTL, MaxTTL time.Duration

	// What the key has beside method, host and path. What is not in the key is
	// not seen by it: two requests that differ in it alone get one response,
	// unless Vary says otherwise.
	Headers, Cookies, Query Selection

	// ErrorTTL is how long an error of this status is stored at least: negative
	// caching. What it says of itself counts where that is longer, as it does at
	// CloudFront. None is stored by default but what
	// RFC 9111 lets a cache store heuristically.
	ErrorTTL map[int]time.Duration

	// Heuristic allows RFC 9111, section 4.2.2.
	Heuristic bool

	// Stale bounds how long past its freshness a response is served while the
	// origin is asked again, or fails, where the response does not say itself
	// (RFC 5861).
	StaleWhileRevalidate, StaleIfError time.Duration

	// StaleIfUnreachable bounds how long past its freshness a response is served
	// while nothing is heard of the origin, where the response does not say and
	// nothing forbids it (RFC 9111, section 4.2.4). MaxTTL bounds it too.
	StaleIfUnreachable time.Duration

	// Eventual lets a caller have what is older than its consistency token.
	Eventual bool
}

// of returns what the policy is to responses of a status. An error is kept for as
// long as it says, or as ErrorTTL says, whichever is longer: MinTTL would show everybody what one
// caller was refused (401, 429), or a moment's failure for long.
func (p Policy) of(status int) Policy {
	if status >= 400 {
		p.MinTTL = 0
	}
	return p
}

// Default is the policy of what no behaviour has a policy for: the origin's own
// headers decide, and the whole query tells requests apart.
func Default() Policy {
	return Policy{
		Name: "default", MaxTTL: 365 * 24 * time.Hour, Query: Selection{Mode: All}, Heuristic: true, StaleIfUnreachable: time.Hour,
	}
}

// A Selection is a choice among names: headers, cookies or query parameters.
// The zero Selection takes none.
type Selection struct {
	Mode  Mode
	Names []string // header names in canonical form; others as they are
	Wild  []string // patterns of cookies' names: * is anything, ? one character
}

// A Mode says how a Selection's names are meant.
type Mode string

// The modes, in CloudFront's words.
const (
	None      Mode = "none"
	All       Mode = "all"
	Allow     Mode = "allow"
	AllExcept Mode = "allExcept"
)

// Has reports whether the selection takes name.
func (s Selection) Has(name string) bool {
	switch s.Mode {
	case All:
		return true
	case Allow:
		return s.has(name)
	case AllExcept:
		return !s.has(name)
	}
	return false
}

func (s Selection) has(name string) bool {
	for _, n := range s.Names {
		if n == name {
			return true
		}
	}
	for _, p := range s.Wild {
		if pathpattern.Glob(p, name) {
			return true
		}
	}
	return false
}
