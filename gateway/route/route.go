// Package route selects the route of a request as an API Gateway HTTP API
// does.
//
// A route is chosen by method and path, most specific first: a full match of
// the path, then a match that ends in a greedy {proxy+}, then $default. From
// left to right a static segment beats {id}, and {id} beats {proxy+}; on one
// path the method itself beats ANY. A path whose methods do not include the
// request's is passed over, so that POST may fall through to ANY /{proxy+}.
//
// Matching works on the segments of the raw path: an encoded slash does not
// split a segment, and %64og matches the static segment dog. Nothing is
// cleaned: an empty segment is a segment, so /pets/ is not /pets.
package route

import (
	"fmt"
	"net/url"
	"strings"
)

// Any is the method of a route that takes the methods which its path does not
// define; Default is the path of the route that takes everything else.
const (
	Any     = "ANY"
	Default = "$default"
)

// A Key names a route: GET /pets/{id}, ANY /{proxy+}, or $default.
type Key struct {
	Method string // upper case, or Any; "" for $default
	Path   string // as written in the API's file, or Default
}

// String returns the route key as it stands in events and logs.
func (k Key) String() string {
	if k.Path == Default {
		return Default
	}
	return k.Method + " " + k.Path
}

// Params returns the decoded values of the path parameters of a raw path that
// k matched, or nil if k has none. A value whose percent-encoding is broken
// stays as it was sent.
func (k Key) Params(raw string) map[string]string {
	if !strings.Contains(k.Path, "{") {
		return nil
	}
	params := map[string]string{}
	pattern, rest := strings.TrimPrefix(k.Path, "/"), strings.TrimPrefix(raw, "/")
	for more := true; more; {
		var part, seg string
		part, pattern, more = strings.Cut(pattern, "/")
		kind, name := parse(part)
		if kind == greedy {
			params[name] = decode(rest)
			break
		}
		seg, rest, _ = strings.Cut(rest, "/")
		if kind == param {
			params[name] = decode(seg)
		}
	}
	return params
}

// The kinds of a segment of a route's path, most specific first.
type kind int

const (
	static kind = iota
	param
	greedy
)

// parse returns the kind of a segment of a route's path and its name, or for a
// static segment its decoded text.
func parse(segment string) (kind, string) {
	name, ok := strings.CutPrefix(segment, "{")
	if !ok {
		return static, decode(segment)
	}
	if name, ok := strings.CutSuffix(name, "+}"); ok {
		return greedy, name
	}
	return param, strings.TrimSuffix(name, "}")
}

// decode undoes percent-encoding, and allocates only if there is any.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// check says what is wrong with a key, or "".
func (k Key) check() string {
	if k.Path == Default {
		if k.Method != "" && k.Method != Any {
			return fmt.Sprintf("%s $default: expected no method beside $default", k.Method)
		}
		return ""
	}
	rest, ok := strings.CutPrefix(k.Path, "/")
	if !ok {
		return fmt.Sprintf("path %q: expected a path that begins with / or $default", k.Path)
	}
	if k.Method == "" {
		return fmt.Sprintf("path %q: expected a method", k.Path)
	}
	seen := map[string]bool{}
	for more := true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if why := checkSegment(seg, !more, seen); why != "" {
			return fmt.Sprintf("path %q: %s", k.Path, why)
		}
	}
	return ""
}

func checkSegment(seg string, last bool, seen map[string]bool) string {
	if !strings.ContainsAny(seg, "{}") {
		return ""
	}
	kind, name := parse(seg)
	switch {
	case kind == static || strings.Trim(name, paramChars) != "" || name == "" || !strings.HasSuffix(seg, "}"):
		return fmt.Sprintf("segment %q: expected a whole segment {name} or {name+}", seg)
	case kind == greedy && !last:
		return fmt.Sprintf("segment %q: expected a greedy parameter only as the last segment", seg)
	case seen[name]:
		return fmt.Sprintf("parameter %q stands twice: expected names that differ", name)
	}
	seen[name] = true
	return ""
}

const paramChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
