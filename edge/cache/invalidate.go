package cache

import (
	"net/http"
	"net/url"
	"strings"
)

// safe reports whether a method changes nothing at the origin (RFC 9110,
// section 9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

// invalidates returns what a response ends the life of (RFC 9111, section 4.4;
// RFC 9875, section 3): the target of a request that was not safe and did not
// fail, and what its Location and Content-Location name on the same host, and
// the groups that it names.
func invalidates(q *Request, status int, h http.Header) (ps []Purge) {
	if safe(q.Method) || status < 200 || status >= 400 {
		return nil
	}
	ps = []Purge{{Host: q.Host, Path: q.Path}}
	for _, name := range []string{"Location", "Content-Location"} {
		if path, ok := sameHost(q, h.Get(name)); ok && path != q.Path {
			ps = append(ps, Purge{Host: q.Host, Path: path})
		}
	}
	for _, g := range groups(h["Cache-Group-Invalidation"]) {
		ps = append(ps, Purge{Host: q.Host, Tag: g})
	}
	return ps
}

// sameHost returns the path of a reference, if it is of the host of a request.
func sameHost(q *Request, ref string) (string, bool) {
	if ref == "" {
		return "", false
	}
	base, err := url.Parse("https://" + q.Host + q.Path)
	if err != nil {
		return "", false
	}
	u, err := base.Parse(ref)
	if err != nil || !strings.EqualFold(u.Host, q.Host) {
		return "", false
	}
	return u.EscapedPath(), true
}

// located reports whether the answer to a POST is of the very target
// (RFC 9110, section 9.3.3).
func located(q *Request, h http.Header) bool {
	ref := h.Get("Content-Location")
	path, ok := sameHost(q, ref)
	if !ok || path != q.Path {
		return false
	}
	_, query, _ := strings.Cut(ref, "?")
	return query == q.Query
}
