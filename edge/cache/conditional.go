package cache

import (
	"net/http"
	"strings"
)

// conditions are the headers that make a request conditional, and what it wants
// of a representation.
var conditions = []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range"}

// conditional reports whether a request asks for a body only if it is new.
func conditional(h http.Header) bool {
	return len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0
}

// notModified reports whether a request's conditions, evaluated on a stored
// response, are answered by 304 (RFC 9111, section 4.3.2).
func notModified(request, stored http.Header) bool {
	if lines := request["If-None-Match"]; len(lines) > 0 {
		return matchesAny(lines, stored.Get("Etag"))
	}
	since, ok := parseDate(request.Get("If-Modified-Since"))
	if !ok {
		return false
	}
	modified, ok := parseDate(stored.Get("Last-Modified"))
	if !ok {
		if modified, ok = parseDate(stored.Get("Date")); !ok {
			return false
		}
	}
	return !modified.After(since)
}

// matchesAny compares weakly (RFC 9110, section 8.8.3.2).
func matchesAny(lines []string, etag string) (found bool) {
	members(lines, func(m string) bool {
		found = m == "*" || etag != "" && weak(m) == weak(etag)
		return !found
	})
	return found
}

func weak(etag string) string {
	etag = strings.TrimPrefix(etag, "W/")
	return strings.TrimPrefix(etag, "w/")
}

// strong reports whether an entity tag names one sequence of bytes.
func strong(etag string) bool { return len(etag) > 1 && etag[0] == '"' }

// validating returns the headers of a request that asks whether a stored
// response still holds (RFC 9111, section 4.3.1).
func validating(request, stored http.Header) http.Header {
	h := without(request, conditions...)
	if etag := stored.Get("Etag"); etag != "" {
		h["If-None-Match"] = []string{etag}
	}
	if modified := stored.Get("Last-Modified"); modified != "" {
		h["If-Modified-Since"] = []string{modified}
	}
	return h
}

// without returns a copy of h that lacks names.
func without(h http.Header, names ...string) http.Header {
	out := make(http.Header, len(h)+2)
	for name, values := range h {
		out[name] = values
	}
	for _, name := range names {
		delete(out, name)
	}
	return out
}

// in304 are the headers of a stored response that a 304 made of it has
// (RFC 9110, section 15.4.5).
var in304 = []string{"Cache-Control", "Content-Location", "Date", "Etag", "Expires", "Vary", "Last-Modified", fieldTargeted}

// notModifiedHeader returns the headers of a 304 for a stored response: those,
// and what is no metadata of the representation.
func notModifiedHeader(stored http.Header) http.Header {
	h := make(http.Header, len(in304))
	for name, values := range stored {
		if !strings.HasPrefix(name, "Content-") {
			h[name] = values
		}
	}
	for _, name := range in304 {
		if values, ok := stored[name]; ok {
			h[name] = values
		}
	}
	delete(h, "Accept-Ranges")
	return h
}

// kept are the stored headers that no 304 and no 206 changes (RFC 9111, section
// 3.2): they describe the bytes that are stored.
var kept = map[string]bool{
	"Content-Encoding": true, "Content-Length": true, "Content-Md5": true, "Content-Range": true, "Etag": true, "Content-Digest": true, "Repr-Digest": true,
}

// updated returns a stored response's headers after a validating response
// (RFC 9111, section 4.3.4). Its Etag stays: the one that was sent is the one
// that the origin said still holds.
func updated(stored, fresh http.Header) http.Header {
	h := without(stored, "Age")
	for name, values := range fresh {
		if !kept[name] {
			h[name] = values
		}
	}
	if stored.Get("Etag") == "" && fresh.Get("Etag") != "" {
		h["Etag"] = fresh["Etag"]
	}
	return h
}
