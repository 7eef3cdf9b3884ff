package edge

import (
	"net/http"
	"net/url"
	"strings"
)

// A target is the request's path and query, byte for byte as the client sent
// them: a region may verify a signature over them.
type target struct{ path, query string }

// targetOf reads the request line. net/http's URL is of no use here: it is
// decoded and cleaned. Of the absolute form (RFC 9112, section 3.2.2) the
// scheme and authority are cut off; the engine has put them in Host.
func targetOf(r *http.Request) target {
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
	path, query, _ := strings.Cut(raw, "?")
	return target{path, query}
}

// String returns what stands in the request line.
func (t target) String(hasQuery bool) string {
	if hasQuery {
		return t.path + "?" + t.query
	}
	return t.path
}

// outURL returns a URL that net/http writes as the very bytes of raw. It sends
// URL.Opaque as it is, but takes one that begins with // for an authority, and
// cuts off a scheme and authority that are those of the request.
func outURL(raw, host string) *url.URL {
	if strings.HasPrefix(raw, "//") {
		raw = "//" + host + raw
	}
	return &url.URL{Scheme: "https", Host: host, Opaque: raw}
}

// visible reports whether a target has no space or control character, as HTTP/1.1
// cannot have one: HTTP/2 and 3 could smuggle a request line in it.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// isPath reports whether a request is for a path, as HTTP writes one (RFC 9112,
// section 3.2; RFC 9113, section 8.3.1), or for the server as a whole. A fragment
// is no part of a request: an origin that cuts it off sees another path than the
// behaviours and the cache.
func isPath(t target, r *http.Request) bool {
	switch {
	case t.path == "*":
		return r.Method == http.MethodOptions
	case r.ProtoMajor >= 2 && !strings.HasPrefix(r.RequestURI, "/"):
		return false
	}
	return strings.HasPrefix(t.path, "/") && visible(r.RequestURI) && !strings.Contains(r.RequestURI, "#")
}
