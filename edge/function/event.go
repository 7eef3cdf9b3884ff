package function

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/dop251/goja"
)

// The events, in CloudFront's words.
const (
	ViewerRequest  = "viewer-request"
	ViewerResponse = "viewer-response"
	OriginRequest  = "origin-request"
	OriginResponse = "origin-response"
)

// An Event is what a function is told.
type Event struct {
	Type     string
	Request  string // the request's id
	Domain   string // of the API
	Node     string // which edge
	Viewer   netip.Addr
	Location Location
	In       Request
	Out      *Response // of response events

	// Origin is where the request goes as things stand; of origin events.
	Origin *Origin
	// Body is what the edge holds of the request's body; of origin-request.
	Body *Body
}

// A Request is a request as functions see it: raw, with the Host beside the
// headers.
type Request struct {
	Method   string
	Path     string
	Query    string
	HasQuery bool // there is a question mark
	Host     string
	Header   http.Header
}

// A Response is a response as functions see it. A nil Body is the origin's own.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// Replaced says that Body stands for what there was.
	Replaced bool
}

// A Body is a request's body, or the beginning of one.
type Body struct {
	Data      []byte
	Truncated bool
	// Replaced says that a function put it there.
	Replaced bool
}

// A Result is what became of an event: a request that goes on, or a response.
type Result struct {
	Request  *Request
	Response *Response
	Route    *Route // nil if nothing was said of the origin
	Body     *Body  // of the request, if it was replaced
	Note     string // for the access log
}

// hidden are headers that functions neither see nor set: what only nodes say to
// each other, and what CloudFront does not show.
func hidden(name string) bool { return internal(name) || disallowed(strings.ToLower(name)) }

// internal are names that only nodes may say to each other.
func internal(name string) bool {
	const prefix = "meridian-"
	return len(name) >= len(prefix) && strings.EqualFold(strings.ReplaceAll(name[:len(prefix)], "_", "-"), prefix)
}

// A many is a name with its values, in the order in which they came.
type many struct {
	name   string
	values []string
	attrs  []string // of response cookies, one a value
}

// group collects pairs by name.
type group struct {
	list []many
	at   map[string]int
}

func (g *group) add(name, value, attr string) {
	if g.at == nil {
		g.at = map[string]int{}
	}
	i, ok := g.at[name]
	if !ok {
		i = len(g.list)
		g.at[name] = i
		g.list = append(g.list, many{name: name})
	}
	g.list[i].values = append(g.list[i].values, value)
	g.list[i].attrs = append(g.list[i].attrs, attr)
}

// parameters returns a raw query's names and values, raw. bare are the names
// that stand there without =.
func parameters(raw string) (out []many, bare map[string]bool) {
	var g group
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, eq := strings.Cut(pair, "=")
		if !eq {
			if bare == nil {
				bare = map[string]bool{}
			}
			bare[name] = true
		}
		g.add(name, value, "")
	}
	return g.list, bare
}

// cookies returns the cookies of Cookie lines.
func cookies(lines []string) []many {
	var g group
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if pair = strings.TrimSpace(pair); pair != "" {
				name, value, _ := strings.Cut(pair, "=")
				g.add(name, value, "")
			}
		}
	}
	return g.list
}

// setCookies returns the cookies of Set-Cookie lines.
func setCookies(lines []string) []many {
	var g group
	for _, line := range lines {
		pair, attrs, _ := strings.Cut(line, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		g.add(name, value, strings.TrimSpace(attrs))
	}
	return g.list
}

// valuesOf makes CloudFront's object of names and values.
func (v *vm) valuesOf(list func() []many) *goja.Object {
	return v.later(list, func(m *many) goja.Value {
		one := v.valueOf(m, 0)
		if len(m.values) > 1 {
			all := make([]any, len(m.values))
			for j := range m.values {
				all[j] = v.valueOf(m, j)
			}
			one.Set("multiValue", v.rt.NewArray(all...))
		}
		return one
	})
}

// textsOf makes an object of names and texts.
func (v *vm) textsOf(pairs ...string) *goja.Object {
	return v.later(func() (list []many) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, many{name: pairs[i], values: pairs[i+1 : i+2]})
		}
		return list
	}, func(m *many) goja.Value { return v.rt.ToValue(m.values[0]) })
}

func (v *vm) valueOf(m *many, i int) *goja.Object {
	o := v.rt.NewObject()
	o.Set("value", m.values[i])
	if i < len(m.attrs) && m.attrs[i] != "" {
		o.Set("attributes", m.attrs[i])
	}
	return o
}

// headersOf returns the headers that a function sees, but for cookies.
func headersOf(h http.Header, host string) []many {
	out := make([]many, 0, len(h)+1)
	if host != "" {
		out = append(out, many{name: "host", values: []string{host}})
	}
	for name, values := range h {
		if name == "Cookie" || name == "Set-Cookie" || len(values) == 0 {
			continue
		}
		if low := strings.ToLower(name); !internal(low) && !disallowed(low) {
			out = append(out, many{name: low, values: values})
		}
	}
	return out
}

// cloudFront makes CloudFront Functions' event.
func (v *vm) cloudFront(e *Event) *goja.Object {
	rt := v.rt
	out := rt.NewObject()
	out.Set("version", "1.0")
	out.Set("context", v.textsOf("distributionDomainName", e.Domain, "endpoint", e.Domain, "distributionId", e.Node, "eventType", e.Type, "requestId", e.Request))
	out.Set("viewer", v.textsOf("ip", e.Viewer.String()))
	out.Set("request", v.cloudFrontRequest(&e.In))
	if e.Out != nil {
		resp := rt.NewObject()
		resp.Set("statusCode", e.Out.Status)
		resp.Set("statusDescription", http.StatusText(e.Out.Status))
		resp.Set("headers", v.valuesOf(func() []many { return headersOf(e.Out.Header, "") }))
		resp.Set("cookies", v.valuesOf(func() []many { return setCookies(e.Out.Header["Set-Cookie"]) }))
		out.Set("response", resp)
	}
	return out
}

func (v *vm) cloudFrontRequest(r *Request) *goja.Object {
	o := v.rt.NewObject()
	o.Set("method", r.Method)
	o.Set("uri", r.Path)
	o.Set("querystring", v.valuesOf(func() []many { list, _ := parameters(r.Query); return list }))
	o.Set("headers", v.valuesOf(func() []many { return headersOf(r.Header, r.Host) }))
	o.Set("cookies", v.valuesOf(func() []many { return cookies(r.Header["Cookie"]) }))
	if v.fn.program.Says("rawQueryString") {
		o.DefineDataProperty("rawQueryString", v.rt.ToValue(func(goja.FunctionCall) goja.Value {
			if !r.HasQuery {
				return goja.Undefined()
			}
			return v.rt.ToValue(r.Query)
		}), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return o
}
