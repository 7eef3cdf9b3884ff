package cache

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// A shape is what of a stored response answers a request.
type shape struct {
	status int
	span   span // the bytes that go out; with size -1 all
	all    bool
	parts  []span // several, in place of span
}

// fit decides what of a stored response answers a request, or that nothing
// does: a part answers only those who want no more (RFC 9111, section 3.3).
// size is the length of the body as far as it is known, and -1 while it is not.
func fit(o *object, q *Request, size int64) (shape, bool) {
	whole := shape{status: o.status, all: true}
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		return shape{}, false
	}
	if (o.status == http.StatusOK || o.part()) && conditional(q.Header) && notModified(q.Header, o.header) {
		return shape{status: http.StatusNotModified}, true
	}
	ranges := q.Header["Range"]
	wants := len(ranges) == 1 && q.Method == http.MethodGet && rangeHolds(q.Header, o.header)
	if o.part() {
		if !wants {
			return shape{}, false
		}
		return fitPart(o, ranges[0], size)
	}
	if !wants || o.status != http.StatusOK || size < 0 {
		return whole, true
	}
	rs, ok, none := parseRanges(ranges[0], size)
	_, here := o.body.whole() // else readers of several parts would wait for each other
	switch {
	case !ok || len(rs) > 1 && !here:
		return whole, true
	case none:
		return shape{status: http.StatusRequestedRangeNotSatisfiable}, true
	case len(rs) > 1:
		return shape{status: http.StatusPartialContent, parts: rs}, true
	}
	return shape{status: http.StatusPartialContent, span: rs[0]}, true
}

// fitPart decides whether a part answers a Range.
func fitPart(o *object, asked string, size int64) (shape, bool) {
	if asked == o.asked {
		return shape{status: o.status, all: true}, true
	}
	if o.size < 0 || size < 0 {
		return shape{}, false
	}
	r, ok, none := parseRange(asked, o.size)
	if !ok || none || !(span{o.span.first, o.span.first + size}).holds(r) {
		return shape{}, false
	}
	return shape{status: http.StatusPartialContent, span: r}, true
}

// length returns how long an object's body is, or -1 while nobody knows.
func (o *object) length() int64 {
	if size, ok := o.body.whole(); ok {
		return size
	}
	if n, err := strconv.ParseInt(o.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

// answer makes a response of a stored one. ok is false if its body cannot be
// read from where it must.
func (o *object) answer(ctx context.Context, q *Request, s shape, age time.Duration) (*Response, bool) {
	r := &Response{
		Status: s.status, Header: o.header, Proto: o.proto, Body: http.NoBody, Tokens: o.told, Since: o.version,
		Age: strconv.FormatInt(int64(age/time.Second), 10), Trailer: noTrailer, Stored: true,
	}
	size := o.length()
	first, n := int64(0), int64(-1)
	switch {
	case s.status == http.StatusNotModified:
		r.Header = notModifiedHeader(o.header)
		return r, true
	case s.status == http.StatusRequestedRangeNotSatisfiable && !s.all: // and not the origin's own
		r.Header = without(o.header, "Content-Length", "Content-Type", "Content-Encoding", "Etag")
		r.Header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
		r.Header["Content-Length"] = []string{"0"}
		return r, true
	case s.parts != nil:
		return r, o.multipart(ctx, r, s.parts, size)
	case s.all:
		r.ContentLength, r.body = size, o.body
		if whole, ok := o.body.whole(); ok && len(o.header["Content-Length"]) == 0 && len(o.body.trailers()) == 0 && bodyAllowed(s.status) {
			r.Header = without(o.header)
			r.Header["Content-Length"] = []string{strconv.FormatInt(whole, 10)}
		}
	default:
		total := size
		if o.part() {
			total = o.size
		}
		r.Header = without(o.header)
		r.Header["Content-Range"] = []string{contentRange(s.span, total)}
		r.Header["Content-Length"] = []string{strconv.FormatInt(s.span.size(), 10)}
		r.ContentLength = s.span.size()
		first, n = s.span.first, s.span.size()
		if o.part() {
			first -= o.span.first
		}
	}
	if q.Method == http.MethodHead {
		return r, true
	}
	body, err := o.body.read(ctx, first, n)
	if err != nil {
		return nil, false
	}
	r.Body = body
	if s.all {
		r.Trailer, r.Announced = o.body.trailers, o.announced
	}
	return r, true
}

func bodyAllowed(status int) bool { return status >= 200 && status != 204 && status != 304 }

func noTrailer() http.Header { return nil }
