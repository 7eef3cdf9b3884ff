package edge

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// announce puts the names of the trailers that the origin is sent into to, and
// returns to.
func (x *exchange) announce(to http.Header) http.Header {
	for name := range x.r.Trailer {
		if x.trails(name) {
			to[name] = nil
		}
	}
	return to
}

// trails reports whether the origin is sent a trailer of that name. Programs
// that make headers of trailers take one for what a header of its name says: so
// nothing passes that RFC 9110, section 6.5.1, forbids there, that only this edge
// says, or that the policy holds back.
func (x *exchange) trails(name string) bool {
	switch {
	case internal(name), !httpguts.ValidTrailerHeader(name), strings.HasPrefix(name, "X-Forwarded-"), strings.HasPrefix(name, "X-Meridian-"):
		return false
	case name == "Cookie", name == "Via", name == "Idempotency-Key", slices.Contains(overriding, name), slices.Contains(forged, name):
		return false
	}
	return x.policy.isZero() || x.policy.header(name)
}

// follows reports whether the viewer is sent a trailer of that name: as to the
// origin, nothing by which a body ends or is read, and nothing that says what to
// do with the response (RFC 9110, section 6.5.1) or that the edge alone says.
func follows(name string) bool {
	switch {
	case internal(name), !httpguts.ValidTrailerHeader(name), strings.HasPrefix(name, "Access-Control-"), strings.HasPrefix(name, "X-Meridian-"):
		return false
	}
	return !slices.Contains(controlling, name)
}

// controlling are headers that come too late behind a body: who makes headers of
// trailers would set another's cookie, or store by another's time.
var controlling = []string{
	"Age", "Alt-Svc", "Cache-Status", "Cdn-Cache-Control", "Clear-Site-Data", "Date", "Expires", "Location", "Refresh", "Retry-After", "Set-Cookie",
	"Strict-Transport-Security", "Surrogate-Control", "Vary", "Via",
}

// A trailing body fills in the request's trailers when the client's have come,
// which is when its body ends.
type trailing struct {
	io.ReadCloser
	from, to http.Header
}

func (t *trailing) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err == io.EOF {
		for name := range t.to {
			t.to[name] = t.from[name]
		}
	}
	return n, err
}
