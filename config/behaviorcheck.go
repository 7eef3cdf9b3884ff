package config

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"meridian/internal/pathpattern"
)

// Limits of what a file may say of behaviours. CloudFront's quota is 75, and
// the same bytes of names.
const (
	maxBehaviors = 250
	maxPattern   = 255
	maxNames     = 50
	maxNameBytes = 1024
)

// policyName is what CloudFront's names of policies are made of.
var policyName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`)

// edgeMethods are those that the edge takes.
var edgeMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func (d *decoder) checkBehaviors(f *File) {
	for i, b := range f.Behaviors {
		if i == maxBehaviors {
			d.fail(b.pos, fmt.Sprintf("%d behaviors", len(f.Behaviors)), fmt.Sprintf("at most %d", maxBehaviors))
			break
		}
		d.checkPattern(f, i)
		d.checkMethods(b)
		d.checkPolicyOf(f, b)
		d.checkCacheOf(f, b)
		d.checkResponseOf(f, b)
		d.checkErrors(f, b)
		d.checkGuardOf(f, b)
		if _, ok := f.Origins[b.Origin]; b.Origin != "" && !ok {
			d.fail(d.at(b.pos, "origin"), fmt.Sprintf("no origin is named %q", b.Origin), "a name under origins:, or no origin, which means the regions")
		}
	}
	d.checkKeyGroups(f)
	d.checkGuard(f)
	for _, name := range sorted(f.CachePolicies) {
		p := f.CachePolicies[name]
		_, managed := managedCaches[name]
		d.checkPolicyName(d.names[p.pos.key], name, managed)
		d.checkCachePolicy(p)
	}
	for _, name := range sorted(f.OriginRequestPolicies) {
		p := f.OriginRequestPolicies[name]
		_, managed := managedRequests[name]
		d.checkPolicyName(d.names[p.pos.key], name, managed)
		d.checkRequestPolicy(p)
	}
	for _, name := range sorted(f.ResponseHeadersPolicies) {
		p := f.ResponseHeadersPolicies[name]
		_, managed := managedResponses[name]
		d.checkPolicyName(d.names[p.pos.key], name, managed)
		d.checkResponsePolicy(p)
	}
	for _, name := range sorted(f.Origins) {
		d.checkOrigin(f, name, f.Origins[name])
	}
}

// checkPattern wants a pattern that some path reaches.
func (d *decoder) checkPattern(f *File, i int) {
	b := f.Behaviors[i]
	p := d.at(b.pos, "path")
	rooted := pathpattern.Rooted(b.Path)
	switch bad := strings.IndexFunc(b.Path, oddInPath); {
	case b.Path == "":
		d.missing(b.pos, "path", "a pattern such as /articles*")
		return
	case len(b.Path) > maxPattern:
		d.fail(p, fmt.Sprintf("a pattern of %d bytes", len(b.Path)), fmt.Sprintf("at most %d", maxPattern))
		return
	case bad >= 0 && strings.ContainsRune(b.Path, '#'):
		d.fail(p, "found "+short(b.Path), "a pattern of paths: what follows # is never sent")
		return
	case bad >= 0:
		d.fail(p, fmt.Sprintf("found %q in %s", []rune(b.Path[bad:])[0], short(b.Path)), "the characters of a path; others as %XX of their UTF-8")
		return
	case pathpattern.Normalize(rooted) != rooted:
		d.fail(p, fmt.Sprintf("%s matches no path: paths are compared normalized", short(b.Path)), short(pathpattern.Normalize(rooted)))
		return
	}
	for _, earlier := range f.Behaviors[:i] {
		if earlier.Path == b.Path {
			d.fail(p, fmt.Sprintf("%s stands twice, first on line %d", short(b.Path), d.at(earlier.pos, "path").line), "each pattern once: the first one decides")
			return
		}
		if earlier.Path != "" && pathpattern.Covers(earlier.Path, b.Path) {
			d.fail(p, fmt.Sprintf("no request comes to %s: %s on line %d matches them all", short(b.Path), short(earlier.Path), d.at(earlier.pos, "path").line), "the more special pattern first")
			return
		}
	}
}

// oddInPath reports what stands in no raw path.
func oddInPath(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' || r == '\\' }

func (d *decoder) checkMethods(b Behavior) {
	if _, given := d.where[b.pos.key+".methods"]; given && len(b.Methods) == 0 {
		d.fail(d.at(b.pos, "methods"), "no methods", "some of "+strings.Join(edgeMethods, ", "))
	}
	seen := map[string]bool{}
	for i, m := range b.Methods {
		p := d.at(b.pos, fmt.Sprintf("methods[%d]", i))
		switch {
		case !slices.Contains(edgeMethods, m):
			d.fail(p, "found "+short(m), "one of "+strings.Join(edgeMethods, ", "))
		case seen[m]:
			d.fail(p, m+" stands twice", "each method once")
		}
		seen[m] = true
	}
}

// checkPolicyOf checks the origin request policy that a behaviour names, or is.
func (d *decoder) checkPolicyOf(f *File, b Behavior) {
	r := b.OriginRequest
	switch {
	case r == nil || d.broken(r.pos.key):
		return
	case r.Policy != nil:
		d.checkRequestPolicy(*r.Policy)
		return
	}
	if p, _ := f.RequestPolicy(b); p == nil {
		d.fail(r.pos, fmt.Sprintf("no origin request policy is named %q", r.Name), "a name under originRequestPolicies:, or one of "+join(sorted(managedRequests)))
	}
}

func (d *decoder) checkPolicyName(p position, name string, managed bool) {
	switch {
	case managed:
		d.fail(p, fmt.Sprintf("%q is one of CloudFront's managed policies", name), "another name: that one is there, and means the same everywhere")
	case !policyName.MatchString(name):
		d.fail(p, "found "+short(name), "a name of letters, digits, hyphens and underscores, a letter first")
	}
}

func (d *decoder) checkRequestPolicy(p OriginRequestPolicy) {
	d.checkHeaderNames(d.at(p.pos, "headers"), p.Headers)
	d.checkNames(d.at(p.pos, "cookies"), p.Cookies, "cookie")
	d.checkNames(d.at(p.pos, "query"), p.Query, "parameter")
}

// checkHeaderNames refuses names that are none, and those that no policy sends:
// they concern one connection, or are what nodes say to each other.
func (d *decoder) checkHeaderNames(p position, s Selection) {
	d.checkNames(p, s, "header")
	for _, n := range s.Names {
		switch {
		case !httpguts.ValidHeaderFieldName(n):
			d.fail(p, fmt.Sprintf("found %s", short(n)), "names of headers")
		case strings.Contains(n, "*"):
			d.fail(p, fmt.Sprintf("found %s", short(n)), "names of headers: only cookies' names may be patterns")
		case s.Mode == Allow && neverSent(n):
			d.fail(p, fmt.Sprintf("%s in a list of what is sent", n), "a header that may be sent: the edge itself removes or writes this one")
		default:
			continue
		}
		return
	}
}

// checkNames keeps a list of names short, since every request is compared with it.
func (d *decoder) checkNames(p position, s Selection, what string) {
	size, seen := 0, map[string]bool{}
	for _, n := range s.Names {
		size += len(n)
		same := n // cookies and parameters differ by case
		if what == "header" {
			same = canonical(n)
		}
		switch {
		case n == "":
			d.fail(p, "an empty name", "the name of a "+what)
			return
		case seen[same]:
			d.fail(p, fmt.Sprintf("%s stands twice", short(n)), "each "+what+" once")
			return
		}
		seen[same] = true
	}
	if len(s.Names) > maxNames {
		d.fail(p, fmt.Sprintf("%d names", len(s.Names)), fmt.Sprintf("at most %d; or {allExcept: [NAME]}", maxNames))
	} else if size > maxNameBytes {
		d.fail(p, fmt.Sprintf("names of %d bytes in all", size), fmt.Sprintf("at most %d", maxNameBytes))
	}
}

// neverSent reports headers of one connection (RFC 9110, section 7.6.1), and
// those that only nodes may say to each other.
func neverSent(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return strings.HasPrefix(strings.ReplaceAll(name, "_", "-"), "Meridian-") || slices.Contains([]string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Te", "Trailer", "Expect", "Via", "X-Forwarded-Proto", "X-Forwarded-Port", "Proxy", "X-Real-Ip",
	}, name)
}

// fixed are headers that an origin's own may not replace: they say what the
// request is, or which part of the response is asked for.
var fixed = []string{
	"Content-Length", "Cache-Control", "Pragma", "Cookie", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
	"Max-Forwards", "X-Forwarded-For", "X-Meridian-Request", "Traceparent", "Tracestate",
}

func (d *decoder) checkOrigin(f *File, name string, o Origin) {
	p := d.names[o.pos.key]
	switch {
	case !simple.MatchString(name) || name == "regions":
		d.fail(p, "found "+short(name), "a name of lower-case letters, digits, hyphens and underscores; regions is taken")
	case slices.ContainsFunc(f.Regions, func(r Region) bool { return string(r.Name) == name }):
		d.fail(p, fmt.Sprintf("%q is a region", name), "a name that no region has")
	}
	d.checkOriginURL(f, o)
	if u := (&url.URL{Host: o.HostHeader}); o.HostHeader != "" && (!validHost(o.HostHeader) || !validPort(u.Port())) {
		d.fail(d.at(o.pos, "hostHeader"), "hostHeader is "+short(o.HostHeader), "a hostname such as assets.example.test")
	}
	for _, h := range sorted(o.Headers) {
		d.checkOriginHeader(f, h, o.Headers[h])
	}
	if t := o.ConnectTimeout; t <= 0 || t > time.Minute {
		d.fail(d.at(o.pos, "connectTimeout"), fmt.Sprintf("connectTimeout is %v", t), "a duration up to 1m such as 3s")
	}
	if t := o.ResponseTimeout; t <= 0 || t > 15*time.Minute {
		d.fail(d.at(o.pos, "responseTimeout"), fmt.Sprintf("responseTimeout is %v", t), "a duration up to 15m such as 30s")
	}
	if o.Connections < 1 || o.Connections > 1<<16 {
		d.fail(d.at(o.pos, "connections"), fmt.Sprintf("connections is %d", o.Connections), "a number from 1 to 65536")
	}
	d.exists(d.at(o.pos, "ca"), o.CA, "a PEM file with certificates", false)
	d.checkOriginProtocol(o)
	if u, err := url.Parse(o.URL); o.CA != "" && err == nil && u.Scheme == "http" {
		d.fail(d.at(o.pos, "ca"), "a CA, and a URL of http", "https with it")
	}
}

func (d *decoder) checkOriginURL(f *File, o Origin) {
	if o.URL == "" {
		d.missing(o.pos, "url", "a URL such as https://assets.example.test/prefix")
		return
	}
	p := d.at(o.pos, "url")
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || !validHost(u.Host) || !validPort(u.Port()):
		d.fail(p, "url is "+short(o.URL), "http or https with a host, such as https://assets.example.test/prefix")
	case u.User != nil:
		d.fail(p, "a user in a URL", "headers: {Authorization: {secret: NAME}} for a credential")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		d.fail(p, "url is "+short(o.URL), "no query and no fragment: both are the request's")
	case strings.EqualFold(u.Hostname(), f.Domain):
		d.fail(p, fmt.Sprintf("%s is the API's own name", f.Domain), "another host: a request would come back to an edge, again and again")
	}
}

// validPort reports whether s is a port, or none.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

// validHost reports whether s is a host, and maybe a port.
func validHost(s string) bool {
	u := url.URL{Host: s}
	return s != "" && u.Hostname() != "" && httpguts.ValidHostHeader(s) && !strings.ContainsAny(s, "/@?# *")
}

func (d *decoder) checkOriginHeader(f *File, name string, v Value) {
	p := d.names[v.pos.key]
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		d.fail(p, "found "+short(name), "the name of a header")
	case canonical(name) == "Host":
		d.fail(p, "Host among the headers", "hostHeader: for it")
	case neverSent(name) || slices.Contains(fixed, canonical(name)):
		d.fail(p, name+" among the headers", "a header of the origin's own: the edge itself writes or removes this one")
	case !httpguts.ValidHeaderFieldValue(v.Text):
		d.fail(v.pos, "found "+short(v.Text), "the value of a header")
	}
	d.exists(v.pos, v.File, "a file", false)
	if _, ok := f.Secrets[v.Secret]; v.Secret != "" && !ok {
		d.fail(v.pos, fmt.Sprintf("no secret is named %q", v.Secret), "a name under secrets:")
	}
}

func canonical(header string) string { return http.CanonicalHeaderKey(header) }

func join(names []string) string { return strings.Join(names, ", ") }

// checkErrors wants pages that can be fetched.
func (d *decoder) checkErrors(f *File, b Behavior) {
	for _, status := range sorted(b.Errors) {
		e := b.Errors[status]
		if n, err := strconv.Atoi(status); err != nil || n < 400 || n > 599 {
			d.fail(d.names[e.pos.key], "found "+short(status), "a status from 400 to 599")
		}
		if n := e.Status; n != 0 && n != http.StatusOK && (n < 400 || n > 599) {
			d.fail(d.at(e.pos, "status"), fmt.Sprintf("status is %d", n), "200, or a status from 400 to 599")
		}
		d.checkPage(f, e)
	}
}

func (d *decoder) checkPage(f *File, e ErrorPage) {
	p := d.at(e.pos, "page")
	switch {
	case e.Page == "":
		d.missing(e.pos, "page", "a path such as /errors/sorry.html")
		return
	case e.Page[0] != '/' || len(e.Page) > maxPattern || strings.ContainsFunc(e.Page, oddInPath) || strings.ContainsAny(e.Page, "?*"):
		d.fail(p, "page is "+short(e.Page), "a path such as /errors/sorry.html, without a query")
		return
	}
	i := slices.IndexFunc(f.Behaviors, func(b Behavior) bool { return b.Path != "" && pathpattern.Match(b.Path, pathpattern.Normalize(e.Page)) })
	if i >= 0 && f.Behaviors[i].Methods != nil && !slices.Contains(f.Behaviors[i].Methods, http.MethodGet) {
		d.fail(p, fmt.Sprintf("%s is of the behavior %s, which takes no GET", short(e.Page), short(f.Behaviors[i].Path)), "a page that can be fetched")
	}
}
