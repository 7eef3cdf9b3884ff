package edge

import (
	"net/http"
	"net/url"
	"strings"

	"meridian/internal/framing"
)

// A target is the request's path and query, byte for byte as the client sent
// them: a region may verify a signature over them.
type target struct{ path, query string }

// targetOf reads the request line.
func targetOf(r *http.Request) target {
	path, query := framing.TargetOf(r)
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
