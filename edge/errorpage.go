package edge

import (
	"cmp"
	"net/http"

	"meridian"
	"meridian/edge/cache"
)

// An ErrorPage is what a viewer gets in place of an error: CloudFront's custom
// error response. The page is fetched as if a viewer without credentials asked
// for its path, and comes from the cache if it is there.
type ErrorPage struct {
	Path   string // raw
	Status int    // that the viewer is told; 0 means the error's own
}

// visitors are the headers of the viewer's request that a page is fetched with.
var visitors = []string{"Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Traceparent", "Tracestate"}

// outlasting are the headers of an error that its page bears as well: they say
// what to do about it.
var outlasting = []string{"Retry-After", "Www-Authenticate", "Allow"}

// unhidden are the headers by which a region tells its caller what no page may
// keep from it.
var unhidden = []string{"Meridian-Lost-Write", "Meridian-Stale", "Meridian-Primary-Away"}

// pageFor returns the page that stands for a status.
func (x *exchange) pageFor(status int) (ErrorPage, bool) {
	if x.behavior.Behavior == nil {
		return ErrorPage{}, false
	}
	p, ok := x.behavior.Errors[status]
	return p, ok
}

// replaced answers with the page that stands for an error, and reports whether
// it did: there may be none, or it may be what fails. said are the error's own
// headers, owed the tokens that the viewer is to be told.
func (x *exchange) replaced(status int, said http.Header, owed meridian.Tokens) bool {
	page, ok := x.pageFor(status)
	if !ok || x.r.Context().Err() != nil {
		return false
	}
	for _, name := range unhidden {
		if len(said[name]) > 0 {
			return false
		}
	}
	y := x.visit(page.Path)
	resp, err := y.fetchPage()
	if err != nil || resp.Status != http.StatusOK {
		x.deps.Log.Warn("an error page was not answered", "request", x.id, "page", page.Path, "status", statusOf(resp), "error", err)
		if err == nil {
			resp.Body.Close()
		}
		return false
	}
	for _, name := range outlasting {
		if v := said[name]; len(v) > 0 {
			x.w.Header()[name] = v
		}
	}
	x.seat, y.as, y.owed = page.Path, cmp.Or(page.Status, status), owed
	if y.as >= 400 {
		x.w.before = briefly(x.w.Header(), x.w.before)
	}
	y.respond(resp)
	return true
}

// briefly returns what keeps the lifetime of a page from being that of the
// error which it stands for, at the viewer's.
func briefly(h http.Header, then func()) func() {
	return func() {
		for _, name := range []string{"Expires", "Age", "Etag", "Last-Modified"} {
			delete(h, name)
		}
		h.Set("Cache-Control", "no-store")
		if then != nil {
			then()
		}
	}
}

func statusOf(resp *cache.Response) int {
	if resp == nil {
		return 0
	}
	return resp.Status
}

// visit opens an exchange for a page, which answers the same viewer.
func (x *exchange) visit(path string) *exchange {
	r := &http.Request{
		Method: http.MethodGet, URL: x.r.URL, RequestURI: path, Host: x.r.Host, Proto: x.r.Proto, ProtoMajor: x.r.ProtoMajor, ProtoMinor: x.r.ProtoMinor,
		Header: http.Header{}, Body: http.NoBody, RemoteAddr: x.r.RemoteAddr, TLS: x.r.TLS,
	}
	if x.r.Method == http.MethodHead {
		r.Method = http.MethodHead
	}
	for _, name := range visitors {
		if v := x.r.Header[name]; len(v) > 0 {
			r.Header[name] = v
		}
	}
	y := x.Edge.exchange(x.w, r.WithContext(x.r.Context()), x.id, x.span)
	y.ruleset = x.ruleset
	y.gate.shut() // early hints were of the first request
	before := x.w.before
	y.behave()
	x.w.before = before // the headers are those of the viewer's own behaviour
	y.tokens = x.tokens
	return y
}

// fetchPage asks for the page.
func (x *exchange) fetchPage() (*cache.Response, error) {
	tokens := x.tokens
	if err := x.prepare(); err != nil {
		return nil, err
	}
	x.tokens = tokens
	first := *x
	return x.cache.Do(x.r.Context(), x.wanted(), first.fetch)
}
