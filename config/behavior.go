package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Behavior says what becomes of the requests whose path its pattern matches.
type Behavior struct {
	Path            string               `key:"path" doc:"A pattern of paths: * is anything, ? one character. The first that matches decides; requests that none matches go to the regions." want:"a pattern such as /articles*"`
	Origin          string               `key:"origin" doc:"A name under origins. Default: the regions."`
	Methods         []string             `key:"methods" doc:"Methods that are let in. Default: all." want:"some of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"`
	Cache           *Cache               `key:"cache" doc:"What is stored: a name under cachePolicies, one of CloudFront's managed policies, or the policy itself. Default: what the origin's own headers say." want:"the name of a policy, or what a policy has"`
	OriginRequest   *OriginRequest       `key:"originRequest" doc:"What the origin is sent of a request: a name under originRequestPolicies, one of CloudFront's managed policies, or the policy itself. Default: everything to a region; to another origin all but Host, cookies and credentials." want:"the name of a policy, or headers, cookies and query"`
	ResponseHeaders *ResponseHeaders     `key:"responseHeaders" doc:"Which headers the viewer gets: a name under responseHeadersPolicies, one of CloudFront's managed policies, or the policy itself. Default: the origin's." want:"the name of a policy, or set, default, remove, cors and serverTiming"`
	Signed          string               `key:"signed" doc:"A name under keyGroups: only requests pass that bear a URL or cookies signed with one of its keys, as CloudFront has them. Default: all." want:"a name under keyGroups"`
	Compress        bool                 `key:"compress" default:"true" doc:"Whether responses that get smaller are compressed (br, zstd, gzip) for viewers that accept it." want:"true or false"`
	EarlyHints      bool                 `key:"earlyHints" default:"false" doc:"Whether viewers of HTTP/2 and 3 hear of a stored response's links (preload, preconnect) by 103 Early Hints, while the origin is asked whether it holds still." want:"true or false"`
	Allow           []netip.Prefix       `key:"allow" doc:"Networks that may come in; others may not. Default: all." want:"a network such as 192.0.2.0/24"`
	Deny            []netip.Prefix       `key:"deny" doc:"Networks that may not come in, even if allow names them." want:"a network such as 192.0.2.0/24"`
	WAF             *WAF                 `key:"waf" doc:"Look for attacks in what the cache does not answer, with the OWASP Core Rule Set. Default: nothing is looked for."`
	Viewer          []string             `key:"viewer" doc:"What the origin is told of the viewer, beside what its request policy and its key name: CloudFront's headers, such as CloudFront-Viewer-Country." want:"the name of a header such as CloudFront-Viewer-Country"`
	RateLimits      []string             `key:"rateLimits" doc:"Names under rateLimits: how often a client may ask. Behaviors that name the same share it." want:"a name under rateLimits"`
	Errors          map[string]ErrorPage `key:"errors" doc:"What viewers get in place of an error, by its status. Default: the error."`
	Functions       *Functions           `key:"functions" doc:"The edge functions that are run. Default: none."`
	pos             position
}

// An ErrorPage stands for an error.
type ErrorPage struct {
	Page   string `key:"page" doc:"The path that is fetched in its place, by the behavior that it matches." want:"a path such as /errors/sorry.html"`
	Status int    `key:"status" doc:"That the viewer is told. Default: the error's own." want:"200, or a status from 400 to 599"`
	pos    position
}

// An OriginRequest is an origin request policy, or its name.
type OriginRequest struct {
	Name   string
	Policy *OriginRequestPolicy
	pos    position
}

// An OriginRequestPolicy says what an origin is sent of a request.
type OriginRequestPolicy struct {
	Headers Selection `key:"headers" default:"all" doc:"Headers that are sent." want:"none, all, a list of names, or {allExcept: [NAME]}"`
	Cookies Selection `key:"cookies" default:"all" doc:"Cookies that are sent; in a name * is anything, ? one character." want:"none, all, a list of names, or {allExcept: [NAME]}"`
	Query   Selection `key:"query" default:"all" doc:"Parameters of the query that are sent." want:"none, all, a list of names, or {allExcept: [NAME]}"`
	pos     position
}

// An Origin is a plain HTTP server, beside the regions, that somebody else runs.
type Origin struct {
	URL             string           `key:"url" doc:"Its URL: http or https, host, port, and a prefix of all paths." want:"a URL such as https://assets.example.test/prefix"`
	Protocol        string           `key:"protocol" default:"auto" doc:"What is spoken to it. auto: HTTP/1.1 over http, and over https HTTP/2 where it takes that. h2c: HTTP/2 over http, as gRPC servers without TLS do." want:"auto or h2c"`
	HostHeader      string           `key:"hostHeader" doc:"The Host that it is asked for. Default: that of its URL." want:"a hostname such as assets.example.test"`
	Headers         map[string]Value `key:"headers" doc:"Headers that every request to it has, over what the viewer sent: a text, {file: PATH} or {secret: NAME}."`
	ConnectTimeout  time.Duration    `key:"connectTimeout" default:"3s" doc:"Of a connection, TLS included." want:"a duration up to 1m such as 3s"`
	ResponseTimeout time.Duration    `key:"responseTimeout" default:"30s" doc:"Until its response begins; limits.timeout ends it as well." want:"a duration up to 15m such as 30s"`
	Connections     int              `key:"connections" default:"512" doc:"Connections to it that one edge has at most." want:"a number from 1 to 65536"`
	CA              string           `key:"ca" doc:"A PEM file with whom its certificate must come from. Default: the system's." want:"a PEM file with certificates"`
	pos             position
}

// A Mode says how the names of a Selection are meant.
type Mode string

// The modes, in CloudFront's words. The zero Mode is that of a Selection that
// was not made.
const (
	None      Mode = "none"
	All       Mode = "all"
	Allow     Mode = "allow"
	AllExcept Mode = "allExcept"
)

// A Selection is a choice among names: headers, cookies, or parameters.
type Selection struct {
	Mode  Mode
	Names []string
}

var (
	selectionType     = reflect.TypeFor[Selection]()
	originRequestType = reflect.TypeFor[OriginRequest]()
)

const wantSelection = "none, all, a list of names, or {allExcept: [NAME]}"

// parseSelection reads the forms that are one word.
func parseSelection(s string) (Selection, error) {
	if m := Mode(s); m == None || m == All {
		return Selection{Mode: m}, nil
	}
	return Selection{}, fmt.Errorf("%q is neither none nor all", s)
}

// selection decodes a word, a list, or the keyed form.
func (d *decoder) selection(n *yaml.Node, out *Selection, path string) {
	var of struct {
		AllExcept []string `key:"allExcept" want:"a list of names"`
	}
	switch n.Kind {
	case yaml.SequenceNode:
		*out = Selection{Mode: Allow}
		d.list(n, reflect.ValueOf(&out.Names).Elem(), path, "a name")
		if len(n.Content) == 0 {
			d.fail(at(n, path), "found an empty list", "none, or a name at least")
		}
	case yaml.MappingNode:
		*out = Selection{Mode: AllExcept}
		d.object(n, reflect.ValueOf(&of).Elem(), path)
		if out.Names = of.AllExcept; len(of.AllExcept) == 0 && !d.failed(path) {
			d.fail(at(n, path), "no names", "{allExcept: [NAME]}, or all")
		}
	default:
		d.scalar(n, reflect.ValueOf(out).Elem(), path, wantSelection)
	}
}

// failed reports whether something was said of the value at path already.
func (d *decoder) failed(path string) bool {
	for _, e := range d.errs {
		if strings.HasPrefix(e.Key, path) {
			return true
		}
	}
	return false
}

// encodeSelection writes a selection as it is read.
func encodeSelection(s Selection) *yaml.Node {
	switch s.Mode {
	case Allow:
		return encode(reflect.ValueOf(s.Names))
	case AllExcept:
		return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("allExcept"), encode(reflect.ValueOf(s.Names))}}
	}
	return text(string(s.Mode))
}

// originRequest decodes the name of a policy, or the policy itself.
func (d *decoder) originRequest(n *yaml.Node, out *OriginRequest, path, want string) {
	out.pos = at(n, path)
	if n.Kind == yaml.MappingNode {
		out.Policy = &OriginRequestPolicy{}
		d.object(n, reflect.ValueOf(out.Policy).Elem(), path)
		return
	}
	d.scalar(n, reflect.ValueOf(&out.Name).Elem(), path, want)
}

func encodeOriginRequest(r OriginRequest) *yaml.Node {
	if r.Policy != nil {
		return encode(reflect.ValueOf(r.Policy))
	}
	return text(r.Name)
}

// selectionSchema accepts what selection reads.
func selectionSchema() schema {
	names := schema{"type": "array", "items": schema{"type": "string"}, "minItems": 1}
	return schema{"oneOf": []schema{
		{"enum": []Mode{None, All}}, names,
		{"type": "object", "properties": schema{"allExcept": names}, "required": []string{"allExcept"}, "additionalProperties": false},
	}}
}

// managedRequests are CloudFront's managed origin request policies, by their
// names there.
var managedRequests = map[string]OriginRequestPolicy{
	"AllViewer":                 {Headers: Selection{Mode: All}, Cookies: Selection{Mode: All}, Query: Selection{Mode: All}},
	withViewer:                  {Headers: Selection{Mode: All}, Cookies: Selection{Mode: All}, Query: Selection{Mode: All}},
	"AllViewerExceptHostHeader": {Headers: Selection{AllExcept, []string{"Host"}}, Cookies: Selection{Mode: All}, Query: Selection{Mode: All}},
	"CORS-CustomOrigin":         onlyHeaders("Origin"),
	"CORS-S3Origin":             onlyHeaders("Origin", "Access-Control-Request-Headers", "Access-Control-Request-Method"),
	"HostHeaderOnly":            onlyHeaders("Host"),
	"UserAgentRefererHeaders":   onlyHeaders("User-Agent", "Referer"),
	"Elemental-MediaTailor-PersonalizedManifests": {
		Headers: Selection{Allow, []string{"Origin", "Access-Control-Request-Headers", "Access-Control-Request-Method", "User-Agent", "X-Forwarded-For"}},
		Cookies: Selection{Mode: None}, Query: Selection{Mode: All}},
}

func onlyHeaders(names ...string) OriginRequestPolicy {
	return OriginRequestPolicy{Headers: Selection{Allow, names}, Cookies: Selection{Mode: None}, Query: Selection{Mode: None}}
}

// RequestPolicy returns the origin request policy of a behaviour and its name,
// or nil if that is the default.
func (f *File) RequestPolicy(b Behavior) (*OriginRequestPolicy, string) {
	r := b.OriginRequest
	switch {
	case r == nil:
		return nil, ""
	case r.Policy != nil:
		return r.Policy, "of " + b.Path
	}
	if p, ok := f.OriginRequestPolicies[r.Name]; ok {
		return &p, r.Name
	}
	if p, ok := managedRequests[r.Name]; ok {
		return &p, r.Name
	}
	return nil, ""
}
