package edge

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/identity"
)

// A ResponsePolicy says which headers every response of a behaviour has, the
// edge's own answers too: CloudFront's response headers policy. What is stored
// in the cache is what the origin said.
type ResponsePolicy struct {
	Name    string
	Remove  []string    // canonical names
	Set     http.Header // over what the origin says
	Default http.Header // where it says nothing
	CORS    *CORS       // where it says nothing of who may read

	ServerTiming *float64 // percent of the responses that say what was done; nil: none does
}

// CORS says which scripts may read a response (the Fetch standard, section
// 3.2). The API's own rules are the gateways'; these are for other origins.
type CORS struct {
	Origins     []string // * is any; https://*.example.test is every name below
	Methods     []string // of a preflight's answer
	Headers     []string // of a preflight's answer
	Expose      []string
	Credentials bool
	MaxAge      time.Duration
	Override    bool // what the origin says of it goes
}

// apply changes the headers of a response to r.
func (p *ResponsePolicy) apply(h http.Header, r *http.Request) {
	for _, name := range p.Remove {
		delete(h, name)
	}
	for name, values := range p.Set {
		h[name] = values
	}
	for name, values := range p.Default {
		if len(h[name]) == 0 {
			h[name] = values
		}
	}
	if p.CORS != nil {
		p.CORS.apply(h, r)
	}
}

// apply lets scripts of the request's Origin read the response, if they may and
// the origin has not said it itself, or is not heard.
func (c *CORS) apply(h http.Header, r *http.Request) {
	if c.Override {
		maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "Access-Control-") })
	}
	if h.Get("Access-Control-Allow-Origin") != "" {
		return
	}
	from := r.Header.Get("Origin")
	switch {
	case from != "" && slices.Contains(c.Origins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case c.lists(from):
		h.Set("Access-Control-Allow-Origin", from)
		fallthrough
	case !slices.Contains(c.Origins, "*"): // the answer is another to another Origin
		if !hasToken(h, "Vary", "Origin") {
			h["Vary"] = append(slices.Clone(h["Vary"]), "Origin")
		}
	}
	if h.Get("Access-Control-Allow-Origin") != "" {
		c.allow(h, r)
	}
}

// lists reports whether an origin is one of the policy's, or below one.
func (c *CORS) lists(from string) bool {
	return slices.ContainsFunc(c.Origins, func(o string) bool {
		scheme, host, wild := strings.Cut(o, "://*.")
		if !wild {
			return o == from
		}
		name, ok := strings.CutPrefix(from, scheme+"://")
		below, under := strings.CutSuffix(name, "."+host)
		return ok && under && below != "" && !strings.ContainsAny(below, "/@:")
	})
}

// allow says the rest to a script that may read the response.
func (c *CORS) allow(h http.Header, r *http.Request) {
	list := func(name string, values []string) {
		if len(values) > 0 {
			h.Set(name, strings.Join(values, ", "))
		}
	}
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		list("Access-Control-Allow-Methods", c.Methods)
		list("Access-Control-Allow-Headers", c.Headers)
		if c.MaxAge > 0 {
			h.Set("Access-Control-Max-Age", strconv.Itoa(int(c.MaxAge/time.Second)))
		}
		return
	}
	expose := c.Expose
	if len(h[identity.HeaderConsistency]) > 0 && !slices.Contains(expose, "*") {
		expose = append(slices.Clone(expose), identity.HeaderConsistency)
	}
	list("Access-Control-Expose-Headers", expose)
}
