package cache

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// validatable reports whether the origin can be asked if a stored response
// holds.
func validatable(o *object) bool {
	_, whole := o.body.whole()
	return whole && !o.part() && hasValidator(o.header)
}

// resumable reports whether a stored part is the beginning of what can be asked
// for from there on (RFC 9111, section 3.3).
func resumable(o *object, q *Request) bool {
	return o != nil && o.part() && o.span.first == 0 && o.size > 0 && strong(o.header.Get("Etag")) && len(q.Header["Range"]) == 0
}

// outgoing returns the headers that the origin is asked with. Those of a client
// that make its request conditional, or one for a part, go on only where the
// answer is for it alone.
func outgoing(q *Request, o *object, shared bool) (h http.Header) {
	switch {
	case q.Method == http.MethodGet && o != nil && validatable(o):
		h = validating(q.Header, o.header)
	case q.Method == http.MethodGet && resumable(o, q):
		h = without(q.Header, conditions...)
		size, _ := o.body.whole()
		h["Range"] = []string{"bytes=" + strconv.FormatInt(size, 10) + "-"}
		h["If-Range"] = o.header["Etag"]
	case shared:
		h = without(q.Header, conditions...)
	default:
		h = without(q.Header)
	}
	if h[fieldAble] == nil {
		h[fieldAble] = []string{Capability}
	}
	return h
}

// absorb decides what becomes of an answer: it renews what is stored, is stored
// itself, or is the leader's alone. more is true if its body is then to be
// pumped. own says that a 304 answers the client's own condition.
func (c *Cache) absorb(f *flight, q *Request, o *object, ch choice, own bool, resp *http.Response) (more bool) {
	now := c.deps.Now()
	f.fwdStatus = resp.StatusCode
	if resp.Header.Get("Date") == "" { // RFC 9110, section 6.6.1
		resp.Header["Date"] = []string{now.UTC().Format(http.TimeFormat)}
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && o != nil && !own:
		resp.Body.Close()
		c.renew(f, q, o, resp, now)
		return false
	case failing(resp.StatusCode) && ch.fallback:
		resp.Body.Close()
		f.err = &OriginError{resp.StatusCode}
		return false
	case q.Method == http.MethodHead:
		c.compare(f, q, o, resp, now)
		f.direct, f.why = resp, ch.why
		return false
	case resp.StatusCode == http.StatusPartialContent && resumable(o, q):
		if c.resume(f, q, o, resp, now) {
			return true
		}
	}
	return c.admit(f, q, resp, now)
}

// failing reports whether a status says that the origin failed (RFC 5861,
// section 4).
func failing(status int) bool { return status == 500 || status >= 502 && status <= 504 }

// admit stores an answer, or leaves it to the leader.
func (c *Cache) admit(f *flight, q *Request, resp *http.Response, now time.Time) bool {
	o, v := c.object(f, q, resp, now)
	if v.ok && resp.ContentLength > c.cfg.Object {
		v = verdict{false, "its body is too large"}
		if body := c.divert(q, f.key, o, resp); body != nil {
			resp.Body, f.kept = body, true
			v.why = "its body is too large for memory"
		}
	}
	if !v.ok {
		f.direct, f.why = resp, v.why
		switch {
		case resp.StatusCode == http.StatusNotModified && v.why == "status":
			if c.wouldStore(q, resp, now) {
				c.mark(c.fills, f.key, c.cfg.PassFor)
			}
		case q.Method == http.MethodGet:
			c.mark(c.passes, f.key, c.cfg.PassFor)
		}
		return false
	}
	f.obj, f.why, f.kept = o, v.why, true
	if len(o.directives.noCacheFields)+len(o.directives.privateFields) > 0 {
		f.full = stored(resp.Header, directives{}, true)
	}
	f.lead, _ = o.body.read(context.Background(), 0, -1)
	return true
}

// wouldStore reports whether the response that a 304 stands for could be stored.
func (c *Cache) wouldStore(q *Request, resp *http.Response, now time.Time) bool {
	d, targeted := controls(resp.Header)
	return storable(judged{
		method: http.MethodGet, status: http.StatusOK, header: resp.Header, directives: d, credential: q.Credential, policy: q.Policy,
		life: lifetimeOf(http.StatusOK, resp.Header, d, targeted, q.Policy, now),
	}).ok
}

// object makes what is stored of an answer, and says whether that may be.
func (c *Cache) object(f *flight, q *Request, resp *http.Response, now time.Time) (*object, verdict) {
	d, targeted := controls(resp.Header)
	life := lifetimeOf(resp.StatusCode, resp.Header, d, targeted, q.Policy, now)
	v := storable(judged{
		method: q.Method, status: resp.StatusCode, header: resp.Header, directives: d, life: life, credential: q.Credential,
		noStore: requested(q.Header).noStore, ranged: len(q.Header["Range"]) > 0, located: located(q, resp.Header), policy: q.Policy,
	})
	if !v.ok {
		return nil, v
	}
	o := &object{
		status: resp.StatusCode, proto: [2]int{resp.ProtoMajor, resp.ProtoMinor}, header: stored(resp.Header, d, q.Policy.of(resp.StatusCode).MinTTL > 0),
		directives: d, life: life, selector: selectorOf(resp.Header, q.Header), told: tokensOf(resp.Header[headerTokens]),
		host: q.Host, path: q.Path, tags: tagsOf(resp.Header), size: -1, body: newStream(resp.ContentLength, c.cfg.Object),
	}
	o.version = atLeast(o.told, resp.Header, f.floor)
	_, o.unsure = resp.Trailer[headerTokens]
	o.announced = without(resp.Trailer, headerTokens)
	o.dated(f, resp.Header, now)
	if o.part() {
		if len(q.Header["Range"]) != 1 {
			return nil, verdict{false, "a part that nobody asked for"}
		}
		var ok bool
		if o.span, o.size, ok = parseContentRange(resp.Header.Get("Content-Range")); !ok {
			return nil, verdict{false, "a part of what is not said"}
		}
		o.asked = q.Header.Get("Range")
		if len(q.Header["If-Range"]) > 0 && resp.Header.Get("Content-Type") == "" { // RFC 9110, section 15.3.7: who has it is not told it again
			return nil, verdict{false, "a part without the headers of the whole"}
		}
	}
	return o, v
}

// dated notes when a response was asked for, and how old it came.
func (o *object) dated(f *flight, h http.Header, now time.Time) {
	o.delay = now.Sub(f.began)
	o.age = initialAge(h, o.delay, now)
	o.received, o.soft = now, time.Time{}
	o.began = f.began.Add(-max(o.age-o.delay, 0))
}

// renew makes a stored response new by a 304 (RFC 9111, section 4.3.4).
func (c *Cache) renew(f *flight, q *Request, old *object, resp *http.Response, now time.Time) {
	o := old.renewed(f, q, resp, now)
	f.obj, f.valid, f.why = o, true, "the origin says that it holds"
	v := storable(judged{ // whoever asks: that it may be shared was said when it was stored
		method: http.MethodGet, status: o.status, header: o.header, directives: o.directives, life: o.life, policy: q.Policy,
	})
	if !v.ok {
		c.store.change(f.key, func(x *object) *object {
			if x == old {
				return nil
			}
			return x
		})
		c.forget(old)
		return
	}
	f.kept = c.keep(f, f.key, o)
}

// renewed returns the object with what an answer says of it.
func (o *object) renewed(f *flight, q *Request, resp *http.Response, now time.Time) *object {
	n := *o
	n.on = nil
	h := updated(o.header, resp.Header)
	d, targeted := controls(h)
	n.directives, n.life = d, lifetimeOf(o.status, h, d, targeted, q.Policy, now)
	n.header = stored(h, d, q.Policy.of(o.status).MinTTL > 0)
	n.told = newer(o.told, resp.Header[headerTokens])
	n.version = advanced(o.version, atLeast(n.told, resp.Header, f.floor))
	n.selector, n.tags = selectorOf(h, q.Header), tagsOf(h)
	n.dated(f, resp.Header, now)
	return &n
}

// compare learns of the answer to HEAD whether what is stored holds (RFC 9111,
// section 4.3.5).
func (c *Cache) compare(f *flight, q *Request, old *object, resp *http.Response, now time.Time) {
	if old == nil || resp.StatusCode != http.StatusOK || old.status != http.StatusOK || conditional(q.Header) {
		return
	}
	same := true
	for _, name := range []string{"Etag", "Last-Modified", "Content-Length"} {
		if a, b := resp.Header.Get(name), old.header.Get(name); a != "" && b != "" && a != b {
			same = false
		}
	}
	to := old.softened(now)
	switch {
	case old.body.file != nil && same:
		return
	case old.body.file != nil:
		to = nil
	case same:
		to = old.renewed(f, q, resp, now)
	default:
		to.on = nil
	}
	c.forget(old)
	c.store.change(f.key, func(x *object) *object {
		if x == old {
			return to
		}
		return x
	})
}
