// Package cache is the edge's memory of responses: a shared HTTP cache after
// RFC 9111.
//
// In comes a request, the [Policy] of the behaviour that it matched, and a way
// to ask the origin; out comes a response, stored or fetched, and in
// Cache-Status (RFC 9211) the reason. What is stored, for how long, for whom,
// and what a request may be answered with are pure functions of values. The
// cache never answers with what its caller's consistency token rules out
// (guarantee 1), and asks the origin once for many that want the same.
//
// When the origin is down, what may be served stale is served stale at once
// (RFC 5861; RFC 9111, section 4.2.4); all else gets the origin's error.
package cache
