package edge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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
	path = normalPath(path)
	for i := range bs {
		if Glob(bs[i].Path, path) {
			return Match{&bs[i], fmt.Sprintf("%s is the first pattern that matches, of %d", bs[i].Path, len(bs))}
		}
	}
	return Match{&everything, fmt.Sprintf("none of %d patterns matches", len(bs))}
}

// Glob reports whether a pattern matches the whole of a path.
func Glob(pattern, path string) bool {
	pattern = Rooted(pattern)
	p, s, star, mark := 0, 0, -1, 0
	for s < len(path) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, s
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == path[s]):
			p, s = p+1, s+1
		case star >= 0: // the last * takes one more
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Rooted returns a pattern with the leading / that may be left out.
func Rooted(pattern string) string {
	if strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "*") {
		return pattern
	}
	return "/" + pattern
}

// normalPath decodes what needs no escape (RFC 3986, section 6.2.2.2), writes
// other escapes in upper case, and removes dot segments (section 5.2.4).
func normalPath(path string) string {
	if strings.Contains(path, "%") {
		path = normalEscapes(path)
	}
	if !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	segments := strings.Split(path, "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
		case s != ".":
			out = append(out, s)
			last = false
		}
		if last { // what ends in a dot segment is a folder
			out = append(out, "")
		}
	}
	return strings.Join(out, "/")
}

func normalEscapes(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			b.WriteString("%25") // it escapes nothing: it is itself
			continue
		}
		if c := unhex(path[i+1])<<4 | unhex(path[i+2]); unreserved(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		i += 2
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// unreserved reports whether c stands for itself in any part of a URI (RFC
// 3986, section 2.3).
func unreserved(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._~", c) >= 0
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
