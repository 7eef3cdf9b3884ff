package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Cache is a cache policy, or its name.
type Cache struct {
	Name   string
	Policy *CachePolicy
	pos    position
}

// A CachePolicy says what is stored, for how long, and what tells requests apart.
type CachePolicy struct {
	MinTTL     time.Duration `key:"minTTL" default:"0s" doc:"How long a response is fresh at least. Over 0s, also one that says no-store, no-cache or private." want:"a duration such as 1s"`
	DefaultTTL time.Duration `key:"defaultTTL" default:"0s" doc:"How long a response is fresh that does not say." want:"a duration such as 60s"`
	MaxTTL     time.Duration `key:"maxTTL" default:"8760h" doc:"How long a response is fresh at most. 0s stores nothing." want:"a duration such as 24h"`

	Headers   Selection `key:"headers" default:"none" doc:"Headers that tell requests apart, beside those of Vary." want:"none, or a list of names"`
	Cookies   Selection `key:"cookies" default:"none" doc:"Cookies that tell requests apart; in a name * is anything, ? one character." want:"none, all, a list of names, or {allExcept: [NAME]}"`
	Query     Selection `key:"query" default:"all" doc:"Parameters of the query that tell requests apart." want:"none, all, a list of names, or {allExcept: [NAME]}"`
	Encodings []string  `key:"encodings" doc:"Codings that the origin is asked for, of those that the viewer accepts. Default: br and gzip." want:"some of br, gzip, zstd"`

	ErrorTTL             map[string]time.Duration `key:"errorTTL" doc:"How long an error is fresh at least, by its status." want:"a duration such as 10s"`
	StaleWhileRevalidate time.Duration            `key:"staleWhileRevalidate" default:"0s" doc:"How long past its freshness a response that does not say is served while the origin is asked again." want:"a duration such as 30s"`
	StaleIfError         time.Duration            `key:"staleIfError" default:"0s" doc:"How long past its freshness a response that does not say is served while the origin fails." want:"a duration such as 1h"`
	StaleIfUnreachable   time.Duration            `key:"staleIfUnreachable" default:"1h" doc:"How long past its freshness a response that does not say, and forbids nothing, is served while nothing is heard of the origin. maxTTL bounds it." want:"a duration such as 10m"`
	Heuristic            bool                     `key:"heuristic" default:"false" doc:"Whether a response that does not say is fresh for a tenth of the time since its Last-Modified."`
	Eventual             bool                     `key:"eventual" default:"false" doc:"Whether a caller may have what is older than its consistency token."`
	pos                  position
}

var cacheType = reflect.TypeFor[Cache]()

// defaultEncodings are CloudFront's.
var defaultEncodings = []string{"br", "gzip"}

// maxTTL is CloudFront's: a hundred years.
const maxTTL = 100 * 365 * 24 * time.Hour

// managedCaches are CloudFront's managed cache policies, by their names there.
var managedCaches = map[string]CachePolicy{
	"Amplify": {MinTTL: 2 * time.Second, DefaultTTL: 2 * time.Second, MaxTTL: 10 * time.Minute, StaleIfUnreachable: time.Hour, Cookies: Selection{Mode: All}, Query: Selection{Mode: All},
		Headers: Selection{Allow, []string{"Authorization", "CloudFront-Viewer-Country", "Host"}}},
	"CachingDisabled":                        {Headers: none, Cookies: none, Query: none},
	"CachingOptimized":                       {MinTTL: time.Second, DefaultTTL: 24 * time.Hour, MaxTTL: year, StaleIfUnreachable: time.Hour, Headers: none, Cookies: none, Query: none},
	"CachingOptimizedForUncompressedObjects": {MinTTL: time.Second, DefaultTTL: 24 * time.Hour, MaxTTL: year, StaleIfUnreachable: time.Hour, Headers: none, Cookies: none, Query: none, Encodings: []string{}},
	"Elemental-MediaPackage": {DefaultTTL: 24 * time.Hour, MaxTTL: year, StaleIfUnreachable: time.Hour, Headers: Selection{Allow, []string{"Origin"}}, Cookies: none,
		Query: Selection{Allow, []string{"aws.manifestfilter", "start", "end", "m"}}, Encodings: []string{"gzip"}},
	"UseOriginCacheControlHeaders":              {MaxTTL: year, StaleIfUnreachable: time.Hour, Headers: overrides, Cookies: Selection{Mode: All}, Query: none},
	"UseOriginCacheControlHeaders-QueryStrings": {MaxTTL: year, StaleIfUnreachable: time.Hour, Headers: overrides, Cookies: Selection{Mode: All}, Query: Selection{Mode: All}},
}

const year = 365 * 24 * time.Hour

var (
	none      = Selection{Mode: None}
	overrides = Selection{Allow, []string{"Host", "Origin", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}}
)

// CachePolicy returns the cache policy of a behaviour and its name, or nil if
// it has none of its own.
func (f *File) CachePolicy(b Behavior) (*CachePolicy, string) {
	switch {
	case b.Cache == nil:
		return nil, ""
	case b.Cache.Policy != nil:
		return b.Cache.Policy, "of " + b.Path
	}
	if p, ok := f.CachePolicies[b.Cache.Name]; ok {
		return &p, b.Cache.Name
	}
	if p, ok := managedCaches[b.Cache.Name]; ok {
		return &p, b.Cache.Name
	}
	return nil, ""
}

// Codings returns the codings that the origin is asked for.
func (p *CachePolicy) Codings() []string {
	if p.Encodings == nil {
		return defaultEncodings
	}
	return p.Encodings
}

// Statuses returns the times of errors by status.
func (p *CachePolicy) Statuses() map[int]time.Duration {
	out := map[int]time.Duration{}
	for text, ttl := range p.ErrorTTL {
		if status, err := strconv.Atoi(text); err == nil {
			out[status] = ttl
		}
	}
	return out
}

// cachePolicy decodes the name of a policy, or the policy itself.
func (d *decoder) cachePolicy(n *yaml.Node, out *Cache, path, want string) {
	out.pos = at(n, path)
	if n.Kind == yaml.MappingNode {
		out.Policy = &CachePolicy{}
		d.object(n, reflect.ValueOf(out.Policy).Elem(), path)
		return
	}
	d.scalar(n, reflect.ValueOf(&out.Name).Elem(), path, want)
}

func encodeCache(c Cache) *yaml.Node {
	if c.Policy != nil {
		return encode(reflect.ValueOf(c.Policy))
	}
	return text(c.Name)
}

// checkCacheOf checks the cache policy that a behaviour names, or is.
func (d *decoder) checkCacheOf(f *File, b Behavior) {
	c := b.Cache
	switch {
	case c == nil || d.broken(c.pos.key):
		return
	case c.Policy != nil:
		d.checkCachePolicy(*c.Policy)
	default:
		if p, _ := f.CachePolicy(b); p == nil {
			d.fail(c.pos, fmt.Sprintf("no cache policy is named %q", c.Name), "a name under cachePolicies:, or one of "+join(sorted(managedCaches)))
			return
		}
	}
	if p, _ := f.CachePolicy(b); p.MaxTTL > 0 && b.Methods != nil && !slices.Contains(b.Methods, "GET") {
		d.fail(c.pos, "a cache policy, and methods without GET", "GET among the methods: nothing else is stored")
	}
}

func (d *decoder) checkCachePolicy(p CachePolicy) {
	for _, t := range []struct {
		key string
		ttl time.Duration
	}{{"minTTL", p.MinTTL}, {"defaultTTL", p.DefaultTTL}, {"maxTTL", p.MaxTTL}, {"staleWhileRevalidate", p.StaleWhileRevalidate}, {"staleIfError", p.StaleIfError}, {"staleIfUnreachable", p.StaleIfUnreachable}} {
		if t.ttl > maxTTL {
			d.fail(d.at(p.pos, t.key), fmt.Sprintf("%s is %v", t.key, t.ttl), "at most 100 years, 876000h")
		}
	}
	switch {
	case p.MinTTL > p.MaxTTL:
		d.fail(d.at(p.pos, "minTTL", "maxTTL"), fmt.Sprintf("minTTL is %v, maxTTL is %v", p.MinTTL, p.MaxTTL), "minTTL ≤ maxTTL")
	case d.says(p.pos, "minTTL") && d.says(p.pos, "defaultTTL") && p.MinTTL > p.DefaultTTL:
		d.fail(d.at(p.pos, "defaultTTL"), fmt.Sprintf("minTTL is %v, defaultTTL is %v", p.MinTTL, p.DefaultTTL), "minTTL ≤ defaultTTL")
	case p.DefaultTTL > p.MaxTTL:
		d.fail(d.at(p.pos, "defaultTTL", "maxTTL"), fmt.Sprintf("defaultTTL is %v, maxTTL is %v", p.DefaultTTL, p.MaxTTL), "defaultTTL ≤ maxTTL")
	}
	d.checkKey(p)
	for _, status := range sorted(p.ErrorTTL) {
		at := d.at(p.pos, "errorTTL."+status)
		switch n, err := strconv.Atoi(status); {
		case err != nil || n < 400 || n > 599:
			d.fail(d.names[at.key], "found "+short(status), "a status from 400 to 599")
		case p.ErrorTTL[status] > p.MaxTTL:
			d.fail(at, fmt.Sprintf("%v for %s, maxTTL is %v", p.ErrorTTL[status], status, p.MaxTTL), "no more than maxTTL")
		}
	}
}

// checkKey wants a key that requests can share.
func (d *decoder) checkKey(p CachePolicy) {
	at := d.at(p.pos, "headers")
	if p.Headers.Mode == All || p.Headers.Mode == AllExcept {
		d.fail(at, "every header in the key", "none, or a list of names: no two requests have all headers alike")
	}
	d.checkHeaderNames(at, p.Headers)
	if slices.ContainsFunc(p.Headers.Names, func(n string) bool { return canonical(n) == "Accept-Encoding" }) {
		d.fail(at, "Accept-Encoding in the key", "encodings: for it, which keeps the variants few")
	}
	if slices.ContainsFunc(p.Headers.Names, func(n string) bool { return canonical(n) == "Cookie" }) {
		d.fail(at, "Cookie in the key's headers", "cookies: for it")
	}
	d.checkNames(d.at(p.pos, "cookies"), p.Cookies, "cookie")
	d.checkNames(d.at(p.pos, "query"), p.Query, "parameter")
	for i, e := range p.Encodings {
		if !slices.Contains([]string{"br", "gzip", "zstd"}, e) {
			d.fail(d.at(p.pos, fmt.Sprintf("encodings[%d]", i)), "found "+short(e), "br, gzip or zstd")
		}
	}
}
