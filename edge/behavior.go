package edge

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"meridian/edge/cache"
	"meridian/internal/pathpattern"
)

// A Behavior says what becomes of the requests whose path its pattern matches:
// CloudFront's cache behaviour.
type Behavior struct {
	// Path is a pattern of at most 255 bytes: * is any bytes, none and / among
	// them, ? exactly one, and all else itself. A leading / may be left out.
	Path string

	Origin  string        // a name of Config.Origins; "" means the regions
	Methods []string      // that are let in; nil means all that the edge takes
	Request RequestPolicy // what the origin is sent of a request

	// Cache is what is stored of the responses; nil means cache.Default. The
	// origin is sent all that is in its key. Where it stores and Request says
	// nothing, GET and HEAD carry no other cookies and parameters than those:
	// what is stored cannot depend on what the key has not.
	Cache *cache.Policy

	// Encodings are the codings that the origin is asked for, of those that the
	// viewer accepts, so that few variants are stored: CloudFront's
	// normalization. They count where Cache is set and stores.
	Encodings []string

	// Plain lets responses out as they came. Otherwise those that get smaller are
	// encoded for viewers that accept it; see package compress.
	Plain bool

	// EarlyHints tells viewers of HTTP/2 and 3 the links of what is stored by a 103,
	// while the origin is asked whether it holds still.
	EarlyHints bool

	Response *ResponsePolicy   // headers of every response; nil leaves them
	Errors   map[int]ErrorPage // what stands for an error, by its status
	Guard    Guard             // who may come in

	// Viewer are names of ViewerHeaders that the origin is told, beside those that
	// Request and Cache name.
	Viewer    []string
	viewer    []string  // all that is asked for
	made      string    // see makes
	Functions Functions // that are run
}

// everything is the behaviour of requests that no pattern matches.
var everything = Behavior{Path: "*"}

// A Match is the behaviour of a request, and why it is that one.
type Match struct {
	*Behavior
	Why string
}

// path returns the pattern, or "" of a request that was refused before.
func (m Match) path() string {
	if m.Behavior == nil {
		return ""
	}
	return m.Path
}

// MatchPath returns the first behaviour whose pattern matches a raw path. The
// path is compared as RFC 3986, section 6.2.2, normalizes it, so that nobody
// chooses a behaviour by another spelling of what the origin will read as the
// same path; the origin is sent what the viewer sent.
func MatchPath(bs []Behavior, path string) Match {
	if len(bs) == 0 {
		return Match{&everything, "there is one for all paths"}
	}
	path = pathpattern.Normalize(path)
	for i := range bs {
		if pathpattern.Match(bs[i].Path, path) {
			return Match{&bs[i], bs[i].Path + " is the first pattern that matches, of " + strconv.Itoa(len(bs))}
		}
	}
	return Match{&everything, "none of " + strconv.Itoa(len(bs)) + " patterns matches"}
}

// admits returns the answer to a request whose method the behaviour does not
// take.
func (b *Behavior) admits(method string) (answer, bool) {
	if b.Methods == nil || slices.Contains(b.Methods, method) {
		return answer{}, true
	}
	return answer{
		status: http.StatusMethodNotAllowed, message: "This path does not take this method.", allow: strings.Join(b.Methods, ", "),
	}, false
}

// stores reports whether the behaviour has a cache policy of its own that
// stores what a request of that method is answered.
func (b *Behavior) stores(method string) bool {
	return b.Cache != nil && b.Cache.MaxTTL > 0 && (method == http.MethodGet || method == http.MethodHead)
}

// sends returns what the behaviour's origin is sent of a request. stranger says
// that the origin is no region.
func (b *Behavior) sends(method string, stranger bool) RequestPolicy {
	p := b.Request
	switch unsaid := p.isZero(); {
	case unsaid && stranger:
		p = strangers
	case unsaid && b.stores(method):
		p = RequestPolicy{Headers: all, Cookies: all, Query: all, Unsaid: true}
	}
	if !b.stores(method) {
		return p
	}
	p.key = b.Cache
	if b.Request.isZero() {
		p.Name = "the key of " + b.Cache.Name
		p.Cookies, p.Query = cache.Selection{}, cache.Selection{}
	}
	return p
}

// codings returns the Accept-Encoding that the origin is sent in place of the
// viewer's: of the codings that it accepts, those in ours, in our order. Without
// the header there is none; where it accepts none of ours, identity.
func codings(accepts, ours []string) []string {
	if len(accepts) == 0 {
		return nil
	}
	var out []string
	for _, coding := range ours {
		if accepted(accepts, coding) {
			out = append(out, coding)
		}
	}
	if len(out) == 0 {
		return []string{"identity"}
	}
	return []string{strings.Join(out, ",")}
}

// accepted reports whether Accept-Encoding allows a coding (RFC 9110, section
// 12.5.3): by its name, or else by *, and not with a weight of zero.
func accepted(lines []string, coding string) bool {
	named, any := 0, 0 // 1: yes, -1: no
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(member, ";")
			says := 1
			if w := strings.ReplaceAll(strings.ToLower(weight), " ", ""); strings.HasPrefix(w, "q=0") && strings.Trim(w[len("q=0"):], ".0") == "" {
				says = -1
			}
			switch name = strings.ToLower(strings.TrimSpace(name)); name {
			case coding, "x-" + coding:
				named = says
			case "*":
				any = says
			}
		}
	}
	return named > 0 || named == 0 && any > 0
}
