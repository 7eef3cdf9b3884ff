package edge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

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
			return Match{&bs[i], fmt.Sprintf("%s is the first pattern that matches, of %d", bs[i].Path, len(bs))}
		}
	}
	return Match{&everything, fmt.Sprintf("none of %d patterns matches", len(bs))}
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
