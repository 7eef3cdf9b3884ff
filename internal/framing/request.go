package framing

import (
	"net/http"
	"net/textproto"
	"strings"
)

// TargetOf returns a request's path and query, byte for byte as the client sent
// them. net/http's URL is of no use there: it is decoded and cleaned. Of the
// absolute form (RFC 9112, section 3.2.2) the scheme and authority are cut off;
// net/http has put them in Host.
func TargetOf(r *http.Request) (path, query string) {
	raw := r.RequestURI
	if !strings.HasPrefix(raw, "/") && raw != "*" {
		if _, rest, ok := strings.Cut(raw, "://"); ok {
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				raw = rest[i:]
			} else {
				raw = "/"
			}
		}
		if strings.HasPrefix(raw, "?") {
			raw = "/" + raw
		}
	}
	path, query, _ = strings.Cut(raw, "?")
	return path, query
}

// A Flaw is why programs would read a request differently, though its bytes had
// one reading.
type Flaw string

// The flaws.
const (
	NoFlaw       Flaw = ""
	FlawedName   Flaw = disguised
	FlawedValue  Flaw = "a header's value that begins or ends with a blank"
	FlawedExpect Flaw = "an expectation other than 100-continue" // RFC 9110, section 10.1.1
	FlawedMethod Flaw = "a method that is no token in capitals"
	FlawedTarget Flaw = "a target that is no path"
	FlawedHost   Flaw = "a host that is not one name"
)

// FlawOf looks at a request as a handler has it. Over HTTP/2 and 3 a request has no
// lines, and none of this was looked at before; over HTTP/1.1 all of it was.
func FlawOf(r *http.Request) Flaw {
	for name, values := range r.Header {
		if Disguised(name) {
			return FlawedName
		}
		for _, v := range values {
			if textproto.TrimString(v) != v { // RFC 9113, section 8.2.1
				return FlawedValue
			}
		}
	}
	for _, line := range r.Header["Expect"] {
		if !strings.EqualFold(textproto.TrimString(line), "100-continue") {
			return FlawedExpect
		}
	}
	return MisspeltIn(r)
}

// MisspeltIn is FlawOf without the headers, but for Host.
func MisspeltIn(r *http.Request) Flaw {
	switch {
	case !ValidMethod(r.Method):
		return FlawedMethod
	case !forPath(r):
		return FlawedTarget
	case !ValidHost(r.Host) && (r.Host != "" || r.ProtoAtLeast(1, 1)): // HTTP/1.0 need not have one
		return FlawedHost
	}
	return NoFlaw
}

// forPath reports whether a request is for a path, as HTTP writes one (RFC 9112,
// section 3.2; RFC 9113, section 8.3.1), or for the server as a whole. A space or
// a control character over HTTP/2 and 3 would end a request line of HTTP/1.1. A
// fragment is no part of a request: who cuts it off sees another path.
func forPath(r *http.Request) bool {
	path, _ := TargetOf(r)
	switch {
	case path == "*":
		return r.Method == http.MethodOptions
	case r.ProtoMajor >= 2 && !strings.HasPrefix(r.RequestURI, "/"):
		return false
	}
	return strings.HasPrefix(path, "/") && visible([]byte(r.RequestURI)) && !strings.Contains(r.RequestURI, "#")
}
