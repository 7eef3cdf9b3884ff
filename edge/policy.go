package edge

import (
	"net/http"
	"slices"
	"strings"

	"meridian/edge/cache"
	"meridian/identity"
)

// A RequestPolicy says what an origin is sent of a request: CloudFront's origin
// request policy. The method, the path, the body and the headers of alwaysSent
// are not in its hands. The zero policy means the default of the origin: a
// region gets everything, another gets what strangers holds back taken away.
type RequestPolicy struct {
	Name                    string
	Headers, Cookies, Query cache.Selection
	Unsaid                  bool // nobody chose it: what overrides the request is held back too, but for the key's

	key *cache.Policy // what it tells requests apart by is sent as well; may be nil
}

// alwaysSent are the headers that no policy holds back: how to read the body,
// which part or version of the response is meant, and that a write is one.
var alwaysSent = map[string]bool{
	"Content-Type": true, "Content-Encoding": true, "Content-Length": true, "Content-Language": true, "Content-Digest": true,
	"Range": true, "If-Range": true, "If-Match": true, "If-None-Match": true, "If-Modified-Since": true, "If-Unmodified-Since": true,
	"Te": true, "Idempotency-Key": true,
}

// strangers is the default of an origin that somebody else runs: credentials
// and cookies are of the API, and are nobody else's business.
var strangers = RequestPolicy{
	Name:    "without credentials",
	Headers: allExcept("Host", "Authorization", identity.HeaderAPIKey, "Cookie"), Query: all, Unsaid: true,
}

// overriding are headers by which a viewer says to some frameworks that it asks
// for another host, path, scheme or method than it does. They are in no key and
// no Vary, so that what is answered to one would be stored for all.
var overriding = []string{
	"Forwarded", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Path", "X-Forwarded-Uri",
	"Front-End-Https", "X-Host", "X-Http-Host-Override", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override", "X-Original-Host", "X-Original-Url", "X-Rewrite-Url",
}

// overrides returns those among h.
func overrides(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range overriding {
		if v, ok := h[name]; ok {
			out[name] = slices.Clone(v)
		}
	}
	return out
}

// stripOverrides takes out of h what the viewer said of those, and leaves what is
// in the key, and what a function of the viewer's event made of it.
func (x *exchange) stripOverrides(h http.Header) {
	for _, name := range overriding {
		if v, ok := h[name]; ok && !x.policy.keyed(name) && (x.claims == nil || slices.Equal(v, x.claims[name])) {
			delete(h, name)
		}
	}
}

// keyed reports whether a header tells stored responses apart.
func (p RequestPolicy) keyed(name string) bool { return p.key != nil && p.key.Headers.Has(name) }

var all = cache.Selection{Mode: cache.All}

func allExcept(names ...string) cache.Selection {
	return cache.Selection{Mode: cache.AllExcept, Names: names}
}

// isZero reports whether the policy is the default of its origin.
func (p RequestPolicy) isZero() bool {
	return p.Name == "" && p.Headers.Mode == "" && p.Cookies.Mode == "" && p.Query.Mode == ""
}

// passesAll reports whether the policy changes nothing.
func (p RequestPolicy) passesAll() bool {
	return p.isZero() || p.Headers.Mode == cache.All && p.Cookies.Mode == cache.All && p.Query.Mode == cache.All
}

func (p RequestPolicy) header(name string) bool {
	return p.Headers.Has(name) || p.keyed(name)
}

func (p RequestPolicy) cookie(name string) bool {
	return p.Cookies.Has(name) || p.key != nil && p.key.Cookies.Has(name)
}

func (p RequestPolicy) parameter(name string) bool {
	return p.Query.Has(name) || p.key != nil && p.key.Query.Has(name)
}

// filter removes from h what the policy holds back. Whether the Host is sent is
// p.header("Host"), and for the caller to see to.
func (p RequestPolicy) filter(h http.Header) {
	if p.passesAll() {
		return
	}
	for name := range h {
		if name != "Cookie" && !alwaysSent[name] && !p.header(name) {
			delete(h, name)
		}
	}
	if lines := p.cookies(h["Cookie"]); len(lines) > 0 {
		h["Cookie"] = lines
	} else {
		delete(h, "Cookie")
	}
}

// cookies returns Cookie lines with the pairs that the policy lets pass, as the
// viewer wrote them.
func (p RequestPolicy) cookies(lines []string) (out []string) {
	if p.Cookies.Mode == cache.All || p.key != nil && p.key.Cookies.Mode == cache.All {
		return lines
	}
	for _, line := range lines {
		var kept []string
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			if name, _, _ := strings.Cut(pair, "="); pair != "" && p.cookie(name) {
				kept = append(kept, pair)
			}
		}
		if len(kept) > 0 {
			out = append(out, strings.Join(kept, "; "))
		}
	}
	return out
}

// query returns the raw query with the parameters that the policy lets pass, in
// their order and as the viewer wrote them. Their names are compared decoded.
func (p RequestPolicy) query(raw string) string {
	if raw == "" || p.isZero() || p.Query.Mode == cache.All || p.key != nil && p.key.Query.Mode == cache.All {
		return raw
	}
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair != "" && p.parameter(cache.ParameterName(pair)) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}
