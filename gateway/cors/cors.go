// Package cors decides what an HTTP API says to browsers of other origins
// (Fetch standard, section "CORS protocol"; API Gateway's corsConfiguration).
//
// It is policy only: values in, headers out.
package cors

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is API Gateway's corsConfiguration. The zero Config allows nothing.
type Config struct {
	AllowOrigins     []string // "*", "https://*", "http://*" or an origin
	AllowMethods     []string // "*" or methods
	AllowHeaders     []string // "*" or header names
	ExposeHeaders    []string // "*" or header names
	AllowCredentials bool
	MaxAge           time.Duration // 0: the header is left out
}

// consistency is the header of the consistency token. Callers may send it and
// read it whatever the configuration says, or browsers could not read their
// own writes across regions.
const consistency = "Meridian-Consistency"

// allMethods is what "*" stands for in AllowMethods.
const allMethods = "DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"

// A Policy is a checked Config. A nil Policy says nothing and hides nothing.
type Policy struct {
	c       Config
	methods string
	headers string // "" stands for whatever the browser asks for
	expose  string
	maxAge  string
}

// New checks c.
func New(c Config) (*Policy, error) {
	if c.AllowCredentials && slices.Contains(c.AllowOrigins, "*") {
		return nil, errors.New(`allowCredentials with the origin "*": expected origins by name, or no credentials`)
	}
	for _, o := range c.AllowOrigins {
		if !validOrigin(o) {
			return nil, fmt.Errorf(`allowed origin %q: expected "*" or a scheme and host such as https://app.example.com`, o)
		}
	}
	if c.MaxAge < 0 {
		return nil, fmt.Errorf("maxAge %v: expected none or a positive duration", c.MaxAge)
	}
	p := &Policy{c: c, methods: strings.ToUpper(strings.Join(c.AllowMethods, ",")), expose: join(c.ExposeHeaders)}
	if slices.Contains(c.AllowMethods, "*") {
		p.methods = allMethods
	}
	if !slices.Contains(c.AllowHeaders, "*") {
		p.headers = join(c.AllowHeaders)
	}
	if c.MaxAge > 0 {
		p.maxAge = strconv.Itoa(int(c.MaxAge / time.Second))
	}
	return p, nil
}

// join lists header names, the consistency header among them.
func join(names []string) string {
	has := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, consistency) })
	if !has {
		names = append(slices.Clone(names), consistency)
	}
	return strings.ToLower(strings.Join(names, ","))
}

func validOrigin(o string) bool {
	if o == "*" || o == "null" {
		return true
	}
	scheme, host, ok := strings.Cut(o, "://")
	return ok && scheme != "" && host != "" && !strings.ContainsAny(host, "/ ,") && (host == "*" || !strings.Contains(host, "*"))
}

// IsPreflight reports whether the request only asks what it may do. A nil
// Policy leaves such requests to the API's own routes.
func (p *Policy) IsPreflight(method string, h http.Header) bool {
	return p != nil && method == http.MethodOptions && h.Get("Origin") != "" && h.Get("Access-Control-Request-Method") != ""
}

// Preflight writes the answer to a preflight into out: nothing but Vary for an
// origin that is not allowed, which the browser then refuses.
func (p *Policy) Preflight(in, out http.Header) (why string) {
	if !p.origin(in.Get("Origin"), out) {
		return "preflight: the origin is not allowed"
	}
	out.Set("Access-Control-Allow-Methods", p.methods)
	if p.headers != "" {
		out.Set("Access-Control-Allow-Headers", p.headers)
	} else if asked := in.Get("Access-Control-Request-Headers"); asked != "" {
		out.Set("Access-Control-Allow-Headers", strings.ToLower(asked))
		out.Add("Vary", "Access-Control-Request-Headers")
	}
	if p.maxAge != "" {
		out.Set("Access-Control-Max-Age", p.maxAge)
	}
	return "preflight: the origin is allowed"
}

// Answer takes the function's own CORS headers out of an answer and writes
// those of the policy.
func (p *Policy) Answer(in, out http.Header) {
	if p == nil {
		return
	}
	for name := range out {
		if strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Access-Control-") {
			delete(out, name)
		}
	}
	if p.origin(in.Get("Origin"), out) {
		out.Set("Access-Control-Expose-Headers", p.expose)
	}
}

// origin writes what depends on the origin and reports whether it is allowed.
func (p *Policy) origin(origin string, out http.Header) bool {
	all := slices.Contains(p.c.AllowOrigins, "*")
	if !all {
		out.Add("Vary", "Origin") // RFC 9110, section 12.5.5: a cache must know
	}
	if origin == "" || !all && !p.allows(origin) {
		return false
	}
	if all {
		origin = "*"
	}
	out.Set("Access-Control-Allow-Origin", origin)
	if p.c.AllowCredentials {
		out.Set("Access-Control-Allow-Credentials", "true")
	}
	return true
}

func (p *Policy) allows(origin string) bool {
	return slices.ContainsFunc(p.c.AllowOrigins, func(o string) bool {
		prefix, wild := strings.CutSuffix(o, "*")
		return strings.EqualFold(o, origin) || wild && len(origin) > len(prefix) && strings.EqualFold(origin[:len(prefix)], prefix)
	})
}
