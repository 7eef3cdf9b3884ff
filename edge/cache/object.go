package cache

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"meridian"
	"meridian/edge/cache/disk"
)

// An object is a stored response, or one that is being stored. All but its body
// is fixed; what changes it makes another.
type object struct {
	status     int
	proto      [2]int
	header     http.Header // as it goes out, without Age
	directives directives
	life       lifetime
	selector   selector
	version    meridian.Tokens // what the data is at least as new as
	told       meridian.Tokens // what who sees it has then seen
	host, path string
	tags       []string // in lower case

	began    time.Time // when what asked for it was sent, less the age it came with
	received time.Time
	age      time.Duration // when it was received
	delay    time.Duration // what of age is the time that the origin took
	soft     time.Time     // when it was made stale; zero if it was not
	shared   bool          // the request that it answered had a credential

	span  span   // of a part
	size  int64  // of the whole, of which this is a part; -1 if unknown
	asked string // the Range that a part answered
	body  *stream
	on    *disk.Entry // that has all of it, too; nil: none has

	announced http.Header // names of trailers to come
	unsure    bool        // tokens are among them
}

// part reports whether it is a part of a representation.
func (o *object) part() bool { return o.status == http.StatusPartialContent }

// hops are the headers that concern a connection alone, and so are never stored
// (RFC 9111, section 3.1).
var hops = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// stored returns the headers of a response as they are stored.
func stored(h http.Header, d directives, least bool) http.Header {
	out := without(h, hops...)
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(out, http.CanonicalHeaderKey(textproto.TrimString(name)))
		}
	}
	delete(out, headerTokens)
	delete(out, HeaderSince)
	delete(out, "Age")
	if least {
		return out
	}
	for _, fields := range [][]string{d.noCacheFields, d.privateFields} {
		for _, name := range fields { // RFC 9111, sections 5.2.2.4 and 5.2.2.7
			delete(out, name)
		}
	}
	return out
}

// weight is what an object takes of the memory.
func (o *object) weight() int64 {
	n := int64(512)
	for name, values := range o.header {
		for _, v := range values {
			n += int64(len(name) + len(v) + 64)
		}
	}
	if o.body != nil && o.body.file == nil {
		size, _ := o.body.whole()
		n += size
	}
	return n
}

// ageAt returns how old it is (RFC 9111, section 4.2.3). For those who asked
// while the origin worked on it, its work is not age.
func (o *object) ageAt(now time.Time, collapsed bool) time.Duration {
	age := o.age
	if collapsed {
		age -= o.delay
	}
	return age + max(now.Sub(o.received), 0)
}

// left returns how much longer it is fresh, as a policy lets it; of what is
// stale, for how long it has been, which is less than nothing whatever its age
// (RFC 9211, section 2.6).
func (o *object) left(p Policy, now time.Time, stale bool) time.Duration {
	d := min(o.life.d, p.MaxTTL) - o.ageAt(now, false)
	if !o.soft.IsZero() {
		d = min(d, o.soft.Sub(now))
	}
	if stale {
		d = min(d, -1)
	}
	return d
}

// softened returns a copy that is stale from now on.
func (o *object) softened(now time.Time) *object {
	c := *o
	if c.soft.IsZero() {
		c.soft = now
	}
	return &c
}

// A resource is what is stored under one key: a response for each way in which
// its Vary tells requests apart, the newest first.
type resource struct{ variants []*object }

// maxVariants bounds how many responses a resource has.
const maxVariants = 32

// pick returns the stored response that a request selects (RFC 9111, section
// 4.1), and else whether there are others.
func (r *resource) pick(q *Request) (o *object, others bool) {
	if r == nil {
		return nil, false
	}
	for _, o := range r.variants {
		if o.selector.matches(q.Header, o.header.Get("Content-Language")) {
			return o, false
		}
	}
	return nil, len(r.variants) > 0
}

// with returns a resource that has o too, in place of what a request of its kind
// would have got before.
func (r *resource) with(o *object) *resource {
	out := &resource{variants: []*object{o}}
	if r == nil {
		return out
	}
	for _, old := range r.variants {
		switch {
		case old.selector.equal(o.selector):
			out.variants[0] = combine(old, out.variants[0])
		case len(out.variants) < maxVariants:
			out.variants = append(out.variants, old)
		}
	}
	return out
}

// each returns a resource with every response replaced by what f returns, or
// nil if nothing is left. changed counts those that f changed.
func (r *resource) each(f func(*object) *object) (out *resource, changed int) {
	out = &resource{}
	for _, o := range r.variants {
		to := f(o)
		if to != o {
			changed++
		}
		if to != nil {
			out.variants = append(out.variants, to)
		}
	}
	if len(out.variants) == 0 {
		return nil, changed
	}
	return out, changed
}

func (r *resource) weight() uint32 {
	n := int64(256)
	for _, o := range r.variants {
		n += o.weight()
	}
	return uint32(min(n, 1<<32-1))
}
