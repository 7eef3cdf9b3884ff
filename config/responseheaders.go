package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

// ResponseHeaders is a response headers policy, or its name.
type ResponseHeaders struct {
	Name   string
	Policy *ResponseHeadersPolicy
	pos    position
}

// A ResponseHeadersPolicy says which headers a viewer gets.
type ResponseHeadersPolicy struct {
	Set     map[string]string `key:"set" doc:"Headers that every response has, over what the origin says."`
	Default map[string]string `key:"default" doc:"Headers that a response has where the origin says nothing."`
	Remove  []string          `key:"remove" doc:"Headers that no response has." want:"names of headers"`
	CORS    *EdgeCORS         `key:"cors" doc:"Cross-origin rules, where the origin states none. The API's own are the key cors of the file."`

	ServerTiming *float64 `key:"serverTiming" doc:"Percent of the responses that say in Server-Timing what the edge did, and how long the origin took. 0: those alone whose request asks for it by Pragma: server-timing. Default: none." want:"a number from 0 to 100"`

	pos position
}

// EdgeCORS is a policy's CORS.
type EdgeCORS struct {
	AllowOrigins     []string      `key:"allowOrigins" doc:"Origins, also https://*.example.test, or *."`
	AllowMethods     []string      `key:"allowMethods" doc:"Methods, or *."`
	AllowHeaders     []string      `key:"allowHeaders" doc:"Request headers, or *."`
	ExposeHeaders    []string      `key:"exposeHeaders" doc:"Response headers that scripts may read."`
	AllowCredentials bool          `key:"allowCredentials" doc:"Whether cookies may be sent."`
	MaxAge           time.Duration `key:"maxAge" doc:"How long a browser may keep a preflight's answer."`
	Override         bool          `key:"override" default:"false" doc:"Whether all that the origin says in Access-Control headers goes, and these stand alone."`
}

var responseHeadersType = reflect.TypeFor[ResponseHeaders]()

// security are CloudFront's security headers. Of these only nosniff is said
// over what the origin says.
func security(cors *EdgeCORS) ResponseHeadersPolicy {
	return ResponseHeadersPolicy{
		Set: map[string]string{"X-Content-Type-Options": "nosniff"},
		Default: map[string]string{
			"Referrer-Policy": "strict-origin-when-cross-origin", "Strict-Transport-Security": "max-age=31536000",
			"X-Frame-Options": "SAMEORIGIN", "X-XSS-Protection": "1; mode=block",
		},
		CORS: cors,
	}
}

var (
	simpleCORS    = &EdgeCORS{AllowOrigins: []string{"*"}}
	preflightCORS = &EdgeCORS{AllowOrigins: []string{"*"}, AllowMethods: []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}, ExposeHeaders: []string{"*"}}
)

// managedResponses are CloudFront's managed response headers policies, by their
// names there.
var managedResponses = map[string]ResponseHeadersPolicy{
	"SimpleCORS":                                    {CORS: simpleCORS},
	"CORS-With-Preflight":                           {CORS: preflightCORS},
	"SecurityHeadersPolicy":                         security(nil),
	"CORS-and-SecurityHeadersPolicy":                security(simpleCORS),
	"CORS-with-preflight-and-SecurityHeadersPolicy": security(preflightCORS),
}

// ResponsePolicy returns the response headers policy of a behaviour and its
// name, or nil if it has none.
func (f *File) ResponsePolicy(b Behavior) (*ResponseHeadersPolicy, string) {
	r := b.ResponseHeaders
	switch {
	case r == nil:
		return nil, ""
	case r.Policy != nil:
		return r.Policy, "of " + b.Path
	}
	if p, ok := f.ResponseHeadersPolicies[r.Name]; ok {
		return &p, r.Name
	}
	if p, ok := managedResponses[r.Name]; ok {
		return &p, r.Name
	}
	return nil, ""
}

// responseHeaders decodes the name of a policy, or the policy itself.
func (d *decoder) responseHeaders(n *yaml.Node, out *ResponseHeaders, path, want string) {
	out.pos = at(n, path)
	if n.Kind == yaml.MappingNode {
		out.Policy = &ResponseHeadersPolicy{}
		d.object(n, reflect.ValueOf(out.Policy).Elem(), path)
		return
	}
	d.scalar(n, reflect.ValueOf(&out.Name).Elem(), path, want)
}

func encodeResponseHeaders(r ResponseHeaders) *yaml.Node {
	if r.Policy != nil {
		return encode(reflect.ValueOf(r.Policy))
	}
	return text(r.Name)
}

// checkResponseOf checks the response headers policy that a behaviour names, or is.
func (d *decoder) checkResponseOf(f *File, b Behavior) {
	r := b.ResponseHeaders
	switch {
	case r == nil || d.broken(r.pos.key):
		return
	case r.Policy != nil:
		d.checkResponsePolicy(*r.Policy)
		return
	}
	if p, _ := f.ResponsePolicy(b); p == nil {
		d.fail(r.pos, fmt.Sprintf("no response headers policy is named %q", r.Name), "a name under responseHeadersPolicies:, or one of "+join(sorted(managedResponses)))
	}
}

func (d *decoder) checkResponsePolicy(p ResponseHeadersPolicy) {
	for _, m := range []struct {
		key    string
		values map[string]string
	}{{"set", p.Set}, {"default", p.Default}} {
		for _, name := range sorted(m.values) {
			at := d.at(p.pos, m.key+"."+name)
			d.checkResponseHeader(d.names[at.key], name)
			if !httpguts.ValidHeaderFieldValue(m.values[name]) || m.values[name] == "" {
				d.fail(at, "found "+short(m.values[name]), "the value of a header")
			}
		}
	}
	for i, name := range p.Remove {
		d.checkResponseHeader(d.at(p.pos, fmt.Sprintf("remove[%d]", i)), name)
	}
	if c := p.CORS; c != nil {
		d.checkEdgeCORS(d.at(p.pos, "cors"), *c)
	}
	if s := p.ServerTiming; s != nil && (*s < 0 || *s > 100) {
		d.fail(d.at(p.pos, "serverTiming"), fmt.Sprintf("serverTiming is %v", *s), "a number from 0 to 100: percent of the responses")
	}
}

// framing are headers that say how to read a response, and those that are the
// edge's own.
var framing = []string{
	"Content-Length", "Content-Encoding", "Content-Range", "Content-Type", "Transfer-Encoding", "Date", "Age", "Cache-Status", "Set-Cookie", "Vary", "Location",
	"X-Meridian-Request", "X-Meridian-Edge",
}

func (d *decoder) checkResponseHeader(p position, name string) {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		d.fail(p, "found "+short(name), "the name of a header")
	case neverSent(name) || slices.Contains(framing, canonical(name)):
		d.fail(p, name+" in a policy", "another header: this one says how to read the response, or is the edge's own")
	case strings.HasPrefix(canonical(name), "Access-Control-"):
		d.fail(p, name+" in a policy", "cors: for it, which knows the request's Origin")
	}
}

func (d *decoder) checkEdgeCORS(p position, c EdgeCORS) {
	any := slices.Contains(c.AllowOrigins, "*")
	switch {
	case len(c.AllowOrigins) == 0:
		d.missing(p, "allowOrigins", "origins such as https://www.example.test, or *")
	case any && c.AllowCredentials:
		d.fail(d.at(p, "allowCredentials"), "cookies, and any origin", "the origins by name: browsers refuse cookies with *")
	case any && len(c.AllowOrigins) > 1:
		d.fail(d.at(p, "allowOrigins"), "* beside others", "* alone, or the others")
	}
	for i, o := range c.AllowOrigins {
		scheme, host, ok := strings.Cut(o, "://")
		if o != "*" && (!ok || scheme == "" || !validHost(strings.TrimPrefix(host, "*."))) {
			d.fail(d.at(p, fmt.Sprintf("allowOrigins[%d]", i)), "found "+short(o), "an origin such as https://www.example.test or https://*.example.test, without a path, or *")
		}
	}
	if c.MaxAge > 24*time.Hour {
		d.fail(d.at(p, "maxAge"), fmt.Sprintf("maxAge is %v", c.MaxAge), "at most 24h: no browser keeps it longer")
	}
}
