package cache

import (
	"context"
	"io"
	"net/http"
	"time"
	weakly "weak"

	"meridian"
)

// A Request is what a client asks for, as an origin would be asked.
type Request struct {
	Method, Host, Path, Query string // path and query raw
	Header                    http.Header
	Tokens                    meridian.Tokens // what the caller has seen
	Credential                bool            // it says who asks
	Body                      bool            // it has one
	Policy                    Policy

	// Origin tells apart what several origins say of one path; "" is the usual one.
	Origin string

	// Made names the way by which responses come about, where two may be in force
	// for one path; "" is the usual one.
	Made string

	// After rules out, as fresh, what was asked of the origin before it.
	After time.Time

	// Admit is asked before the origin is, or others who ask it are waited for,
	// and not of what memory answers. Its error is Do's. nil lets all pass.
	Admit func() error

	// Down reports whether no origin can be reached; nil: one can.
	Down func() bool

	// Unheard reports whether a Fetch's error says that nothing was heard of the
	// origin; nil: each does.
	Unheard func(error) bool

	// Early is told the headers of what is stored with status 200, before the origin
	// is asked whether it holds still. It must not change them. nil hears nothing.
	Early func(stored http.Header)
}

// A Fetch asks the origin. It must leave Meridian-Consistency on the response.
// It may go on when the client that it began for is gone.
type Fetch func(ctx context.Context, header http.Header) (*http.Response, error)

// A Response is what a client is answered.
type Response struct {
	Status        int
	Proto         [2]int      // major and minor version that the origin spoke
	Header        http.Header // not to be changed: others may look at it too
	ContentLength int64       // -1 if unknown
	Body          io.ReadCloser
	Trailer       func() http.Header // of use once Body has ended
	Announced     http.Header        // names of trailers to come
	Tokens        meridian.Tokens    // what who is shown the answer has then seen
	Since         meridian.Tokens    // what it is at least as new as, as far as is known; of what came of a store alone

	Age         string // to be set as the header of that name; "" if the origin just answered
	CacheStatus string // to be added to the header of that name
	Outcome     Outcome
	Why         string
	Stored      bool // it came from what was or is being stored

	body *stream // that Body is all of; nil if it is not, or a stored one's part
}

// Same returns what names the bytes of Body, if they are all stored: responses
// whose bodies are the same stored bytes bear the same. It can be compared, and
// keeps nothing alive.
func (r *Response) Same() (any, bool) {
	if r.body == nil || r.body.file != nil { // one on disk is read anew each time
		return nil, false
	}
	if _, ok := r.body.whole(); !ok {
		return nil, false
	}
	return weakly.Make(r.body), true
}

// Do answers a request: from memory if it may, and else by fetch.
func (c *Cache) Do(ctx context.Context, q Request, fetch Fetch) (r *Response, err error) {
	if c.blind || q.Policy.Eventual {
		q.Tokens = nil
	}
	why, fwd := bypass(&q)
	if why == "" {
		r, err = c.look(ctx, &q, keyOf(&q), fetch)
	} else if err = q.admitted(); err == nil {
		r, err = c.pass(ctx, &q, fetch, why, fwd)
	}
	if err == nil {
		c.metrics.requests.WithLabelValues(string(r.Outcome)).Inc()
	}
	return r, err
}

func (q *Request) admitted() error {
	if q.Admit == nil {
		return nil
	}
	return q.Admit()
}

// bypass returns why nothing is looked for that could answer a request, or "".
func bypass(q *Request) (why, fwd string) {
	switch {
	case q.Method != http.MethodGet && q.Method != http.MethodHead:
		return "method", "method"
	case q.Policy.MaxTTL <= 0:
		return "the policy stores nothing", "bypass"
	case q.Body:
		return "the request has a body", "request"
	case len(q.Header["If-Match"])+len(q.Header["If-Unmodified-Since"]) > 0: // RFC 9111, section 4.3.2
		return "the request's condition is the origin's to judge", "request"
	case len(q.Header["X-Http-Method-Override"])+len(q.Header["X-Method-Override"]) > 0:
		return "the request may mean another method", "request"
	}
	return "", ""
}

// look answers from what is stored, or asks.
func (c *Cache) look(ctx context.Context, q *Request, key string, fetch Fetch) (*Response, error) {
	now := c.deps.Now()
	asked := requested(q.Header)
	o, others := c.store.get(key).pick(q)
	recalled := false
	if o == nil {
		o = c.recall(q, key)
		recalled = o != nil
	}
	ch := choice{do: validate, why: "nothing is stored", fwd: "uri-miss"}
	if others {
		ch.why, ch.fwd = "another variant is stored", "vary-miss"
	}
	if o != nil {
		ch = reuse(c.candidate(q, key, o, asked, now, false))
		s, ok := fit(o, q, o.length())
		if !ok {
			ch = choice{do: validate, why: "only a part is stored", fwd: "partial"}
		}
		if ok && ch.do != validate {
			if r, ok := o.answer(ctx, q, s, o.ageAt(now, false)); ok {
				if ch.do == refresh {
					c.refresh(ctx, q, key, o, fetch)
				}
				if recalled && ch.detail == "" && !ch.stale {
					ch.detail = "disk"
				}
				return c.hit(r, o, q, ch, now), nil
			}
			c.lose(key, o)
			o, ch = nil, choice{do: validate, why: "it cannot be read from disk", fwd: "uri-miss"}
		}
	}
	if asked.onlyIfCached {
		return c.refuse(), nil
	}
	if err := q.admitted(); err != nil {
		return nil, err
	}
	return c.ask(ctx, q, key, o, ch, fetch)
}

// candidate describes a stored response and a request to reuse.
func (c *Cache) candidate(q *Request, key string, o *object, asked directives, now time.Time, collapsed bool) candidate {
	v := candidate{
		age: o.ageAt(now, collapsed), life: min(o.life.d, q.Policy.MaxTTL), stored: o.directives, asked: asked, policy: q.Policy.of(o.status),
		stale: !o.soft.IsZero(), covered: covers(o.version, q.Tokens),
		before: o.began.Before(q.After),
	}
	if !o.soft.IsZero() {
		v.softFor = now.Sub(o.soft)
	}
	if v.age >= v.life || v.stale || v.before {
		v.down, v.failed = q.Down != nil && q.Down(), c.marked(c.failed, key)
	}
	return v
}

// hit completes an answer from what is stored.
func (c *Cache) hit(r *Response, o *object, q *Request, ch choice, now time.Time) *Response {
	r.Outcome, r.Why = Hit, ch.why
	if ch.stale {
		r.Outcome = Stale
	}
	detail := ch.detail
	if ch.stale && detail == "" {
		detail = "stale"
	}
	r.CacheStatus = note{name: c.cfg.Name, hit: true, hasTTL: true, ttl: o.left(q.Policy, now, ch.stale), detail: detail}.String()
	return r
}

// refuse answers a request that wants nothing fetched (RFC 9111, section 5.2.1.7).
func (c *Cache) refuse() *Response {
	return &Response{
		Status: http.StatusGatewayTimeout, Proto: [2]int{1, 1}, Header: http.Header{"Content-Length": {"0"}}, Body: http.NoBody, Trailer: noTrailer,
		CacheStatus: note{name: c.cfg.Name, fwd: "request", detail: "only-if-cached"}.String(), Outcome: Refused, Why: "only-if-cached",
	}
}

// pass asks the origin for what is not looked for here, and ends the life of
// what the answer says has changed.
func (c *Cache) pass(ctx context.Context, q *Request, fetch Fetch, why, fwd string) (*Response, error) {
	var f *flight
	if q.Method == http.MethodPost && q.Policy.MaxTTL > 0 {
		f = c.loosen(q) // it may be stored, for GET
		defer c.land(f)
	}
	resp, err := fetch(ctx, q.Header)
	if err != nil {
		return nil, err
	}
	for _, p := range invalidates(q, resp.StatusCode, resp.Header) {
		c.purge(p, f)
		if c.deps.Invalidated != nil {
			c.deps.Invalidated(p)
		}
	}
	if f != nil && resp.StatusCode == http.StatusOK && located(q, resp.Header) {
		return c.keepPost(ctx, q, f, resp), nil
	}
	return c.direct(resp, note{fwd: fwd}, Bypass, why), nil
}

// direct passes a response on as it came.
func (c *Cache) direct(resp *http.Response, n note, out Outcome, why string) *Response {
	n.name, n.fwdStatus = c.cfg.Name, resp.StatusCode
	if n.detail == "" && out != Bypass {
		n.detail = why
	}
	return &Response{
		Status: resp.StatusCode, Proto: [2]int{resp.ProtoMajor, resp.ProtoMinor}, Header: resp.Header, ContentLength: resp.ContentLength,
		Body: resp.Body, Trailer: func() http.Header { return resp.Trailer }, Announced: resp.Trailer, Tokens: tokensOf(resp.Header[headerTokens]),
		CacheStatus: n.String(), Outcome: out, Why: why,
	}
}
