package cache

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"meridian"
)

// unpart makes an object whose bytes are all there, as of a request for those from
// the first one on, the whole that it is.
func (o *object) unpart() {
	o.header = without(o.header, "Content-Range")
	o.header["Content-Length"] = []string{strconv.FormatInt(o.size, 10)}
	o.status, o.span, o.size, o.asked = http.StatusOK, span{}, -1, ""
}

// from asks the origin. One that does not go on with a stored part as it was asked
// to, and answers 416 or with other bytes, is asked for the whole: its client said
// nothing of a range.
func (c *Cache) from(ctx context.Context, q *Request, o *object, shared bool, fetch Fetch) (*http.Response, error) {
	resp, err := fetch(ctx, outgoing(q, o, shared))
	if err != nil || q.Method != http.MethodGet || !resumable(o, q) {
		return resp, err
	}
	if resp.StatusCode != http.StatusRequestedRangeNotSatisfiable && (resp.StatusCode != http.StatusPartialContent || c.follows(o, resp)) {
		return resp, nil
	}
	resp.Body.Close()
	return fetch(ctx, outgoing(q, nil, shared))
}

// follows reports whether an answer is the rest of the representation that a stored
// part is of.
func (c *Cache) follows(part *object, resp *http.Response) bool {
	have, _ := part.body.whole()
	r, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
	return ok && r.first == have && size == part.size && r.end == size && resp.Header.Get("Etag") == part.header.Get("Etag") && size <= c.cfg.Object
}

// resume goes on with a stored part by the answer that follows it (RFC 9110,
// section 15.3.7.3), if it is of the same representation.
func (c *Cache) resume(f *flight, q *Request, part *object, resp *http.Response, now time.Time) bool {
	if !c.follows(part, resp) {
		return false
	}
	o := part.renewed(f, q, resp, now)
	o.unpart()
	o.body = newStream(-1, c.cfg.Object)
	for _, chunk := range part.body.chunks { // whole, so nobody writes to it
		o.body.append(chunk)
	}
	f.obj, f.why, f.kept = o, "it completes a part", true
	f.lead, _ = o.body.read(context.Background(), 0, -1)
	return true
}

// combine returns what is stored of two responses to requests of one kind, of
// which o is the newer: o, or both if they are parts of one representation
// (RFC 9111, section 3.4).
func combine(old, o *object) *object {
	if !o.part() || !strong(o.header.Get("Etag")) || old.header.Get("Etag") != o.header.Get("Etag") || !old.soft.IsZero() {
		return o
	}
	if old.status == http.StatusOK { // whole, and the origin has just shown a part of it
		n := *old
		n.on = nil
		for _, t := range o.version {
			n.version, _ = n.version.Advance(t)
		}
		n.header, n.life, n.age, n.received, n.began, n.delay = updated(old.header, o.header), o.life, o.age, o.received, o.began, o.delay
		return &n
	}
	if !old.part() || old.size != o.size || o.size < 0 || old.span.end < o.span.first || o.span.end < old.span.first {
		return o
	}
	return joined(old, o)
}

// joined makes one object of two parts that touch.
func joined(old, o *object) *object {
	a, b := old, o
	if b.span.first < a.span.first {
		a, b = b, a
	}
	bytes := make([]byte, 0, max(a.span.end, b.span.end)-a.span.first)
	for _, c := range a.body.chunks {
		bytes = append(bytes, c...)
	}
	if b.span.end > a.span.end {
		skip := a.span.end - b.span.first
		for _, c := range b.body.chunks {
			k := min(skip, int64(len(c)))
			bytes, skip = append(bytes, c[k:]...), skip-k
		}
	}
	n := *o
	n.on = nil
	n.version = older(old.version, o.version)
	n.header = updated(old.header, o.header)
	n.span = span{a.span.first, a.span.first + int64(len(bytes))}
	n.asked, n.body = "", wholeStream([][]byte{bytes}, nil)
	n.header["Content-Range"] = []string{contentRange(n.span, n.size)}
	n.header["Content-Length"] = []string{strconv.Itoa(len(bytes))}
	if n.span == (span{0, n.size}) {
		n.unpart()
	}
	return &n
}

// older returns what both of two answers are at least as new as.
func older(a, b meridian.Tokens) (ts meridian.Tokens) {
	for _, t := range a {
		u := b.Of(t.Database)
		switch {
		case u.IsZero():
			u = t
		case u.System != t.System || u.Timeline != t.Timeline:
			u = meridian.Token{Database: t.Database, System: t.System}
		case t.LSN < u.LSN:
			u = t
		}
		ts = append(ts, u)
	}
	for _, t := range b {
		if a.Of(t.Database).IsZero() {
			ts = append(ts, t)
		}
	}
	return ts
}
