package function

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// lambdaReturned decodes what a Lambda@Edge function returned.
func (v *vm) lambdaReturned(ev *Event, x goja.Value) (*Result, error) {
	o, ok := x.(*goja.Object)
	if !ok {
		return nil, bad("it returned %s; expected a request or a response", kindOf(x))
	}
	if ev.Out != nil || given(o, "status") || given(o, "statusCode") {
		resp, err := v.lambdaResponse(ev, o)
		return &Result{Response: resp}, err
	}
	return v.lambdaGoesOn(ev, o)
}

func (v *vm) lambdaGoesOn(ev *Event, o *goja.Object) (*Result, error) {
	was := &ev.In
	out := &Request{Method: was.Method, Path: was.Path, Query: was.Query, HasQuery: was.HasQuery, Host: was.Host}
	if !given(o, "uri") {
		return nil, bad("it returned neither a request, which has a uri, nor a response, which has a status")
	}
	if m := o.Get("method"); m != nil && m.String() != was.Method {
		return nil, bad("request.method is %q; it is read-only", oneLine(m.String()))
	}
	var err error
	if uri := o.Get("uri").String(); uri != was.Path {
		if out.Path, err = pathOf(uri); err != nil {
			return nil, err
		}
	}
	query := ""
	if given(o, "querystring") {
		query = o.Get("querystring").String()
	}
	if query != was.Query {
		if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f }) {
			return nil, bad("request.querystring has a space, a control character or #")
		}
		out.Query = escaped(query, "")
		out.HasQuery = out.Query != ""
	}
	if len(out.Path)+len(out.Query) > 8192 {
		return nil, bad("request.uri and querystring have more than 8192 bytes")
	}
	if out.Header, out.Host, err = v.lambdaHeadersOf(o.Get("headers"), was.Header, was.Host, ev.Type); err != nil {
		return nil, err
	}
	r := &Result{Request: out}
	if ev.Type == OriginRequest {
		if r.Body, err = v.lambdaBody(o.Get("body")); err != nil {
			return nil, err
		}
		r.Route, err = v.lambdaRoute(ev, o.Get("origin"), out.Host)
	}
	return r, err
}

// lambdaBody returns the body that a function puts in place of the viewer's.
func (v *vm) lambdaBody(x goja.Value) (*Body, error) {
	o, ok := x.(*goja.Object)
	if !ok || !given(o, "action") || o.Get("action").String() != "replace" {
		return nil, nil
	}
	b, err := bodyOf(o)
	if err != nil {
		return nil, err
	}
	return &Body{Data: b, Replaced: true}, nil
}

// lambdaRoute reads request.origin. Nothing is said of the origin where it is as
// it was.
func (v *vm) lambdaRoute(ev *Event, x goja.Value, host string) (r *Route, err error) {
	o, ok := x.(*goja.Object)
	if !ok || ev.Origin == nil {
		return nil, nil
	}
	c, custom := o.Get("custom").(*goja.Object)
	s3, isBucket := o.Get("s3").(*goja.Object)
	if custom == isBucket {
		return nil, bad("request.origin: expected one of custom and s3")
	}
	to, was := *ev.Origin, v.toldOf(ev.Origin)
	if isBucket && !bucket(to.Domain) {
		to.Protocol, to.Port = "https", 443
	}
	if isBucket {
		c = s3
	}
	_, thrown := v.try(func() goja.Value {
		changed := func(name string) bool { return given(c, name) && c.Get(name).String() != was[name] }
		if changed("domainName") {
			to.Domain = v.domain(c.Get("domainName"))
		}
		if changed("path") {
			to.Path = v.originPath(c.Get("path").String())
			to.Bare = to.Path == ""
		}
		if changed("readTimeout") {
			to.ReadTimeout = v.seconds(c, "readTimeout", 120)
		}
		v.customOrigin(c, &to)
		if isBucket && given(c, "authMethod") && c.Get("authMethod").String() == "origin-access-identity" {
			to.Sign = &Signing{Type: "s3", Behavior: "always"}
			if given(c, "region") {
				to.Sign.Region = c.Get("region").String()
			}
		}
		if h, ok := c.Get("customHeaders").(*goja.Object); ok {
			to.Headers = v.lambdaOriginHeaders(h, ev.Origin.Headers)
		}
		return nil
	})
	if thrown != nil {
		return nil, bad("request.origin: %w", rejected(thrown))
	}
	if host != ev.In.Host {
		to.Host = host
	}
	if sameOrigin(&to, ev.Origin) {
		return nil, nil
	}
	return &Route{To: []Target{{Origin: &to}}}, nil
}

// toldOf returns what a function is told of an origin, by its names. What it leaves
// as it was is not judged: the file may say more of an origin than a function
// may, such as an address for its name.
func (v *vm) toldOf(in *Origin) map[string]string {
	return map[string]string{"domainName": in.Domain, "path": in.Path, "readTimeout": strconv.Itoa(wholeSeconds(in.ReadTimeout))}
}

func sameOrigin(a, b *Origin) bool {
	return a.Domain == b.Domain && a.Path == b.Path && a.Port == b.Port && a.Protocol == b.Protocol && a.ReadTimeout == b.ReadTimeout && a.Host == b.Host && (a.Sign == nil) == (b.Sign == nil) && sameHeaders(a.Headers, b.Headers)
}

func sameHeaders(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name, values := range a {
		if !slices.Equal(values, b[name]) {
			return false
		}
	}
	return true
}

func (v *vm) lambdaOriginHeaders(o *goja.Object, was http.Header) http.Header {
	list, err := v.keyedLists(o)
	if err != nil {
		v.fail("customHeaders: %v", err)
	}
	h := http.Header{}
	for _, m := range list {
		name := http.CanonicalHeaderKey(m.name)
		if err := mayChange(name, m.values, OriginRequest); err != nil && !slices.Equal(m.values, was[name]) {
			v.fail("customHeaders: %v", err)
		}
		h[name] = m.values
	}
	return h
}

// keyedLists decodes {name: [{key, value}]}. The name counts, and no key beside it
// that says another: an example of AWS's own copies a header's list to a name.
func (v *vm) keyedLists(o *goja.Object) (out []many, err error) {
	for _, name := range o.Keys() {
		if x := o.Get(name); x == nil || goja.IsUndefined(x) { // as JSON has it: it is not there
			continue
		}
		list, ok := o.Get(name).(*goja.Object)
		if !ok || list.ClassName() != "Array" {
			return nil, bad("headers[%q] is %s; expected a list of {key, value}", name, kindOf(o.Get(name)))
		}
		each, ok := v.objects(list)
		if !ok {
			return nil, bad("headers[%q]: expected a list of {key, value}", name)
		}
		m := many{name: name}
		for _, one := range each {
			if !given(one, "value") {
				return nil, bad("headers[%q] has no value", name)
			}
			m.values = append(m.values, v.texts(one.Get("value"))...)
		}
		if len(m.values) > 0 {
			out = append(out, m)
		}
	}
	return lowered(out), nil
}

// texts returns a header's value, which may be a list of texts.
func (v *vm) texts(x goja.Value) (out []string) {
	list, ok := x.(*goja.Object)
	if !ok || list.ClassName() != "Array" {
		return []string{x.String()}
	}
	for i := range min(v.length(list), 1000) {
		out = append(out, list.Get(strconv.FormatInt(i, 10)).String())
	}
	return out
}

// lambdaHeadersOf decodes headers, and the host among them.
func (v *vm) lambdaHeadersOf(x goja.Value, was http.Header, host, event string) (http.Header, string, error) {
	o, ok := x.(*goja.Object)
	if !ok {
		return nil, host, bad("headers is %s; expected an object", kindOf(x))
	}
	list, err := v.keyedLists(o)
	if err != nil {
		return nil, host, err
	}
	if event == OriginRequest {
		list = slices.DeleteFunc(list, func(m many) bool {
			if m.name != "host" || len(m.values) != 1 || m.values[0] == host || !isHost(strings.ToLower(m.values[0])) {
				return false
			}
			host = m.values[0] // of the origin that the function chose
			return true
		})
		if i := slices.IndexFunc(list, func(m many) bool { return m.name == "host" }); i >= 0 && list[i].values[0] == host {
			list = slices.Delete(list, i, i+1)
		}
	}
	h, err := v.merged(list, was, map[bool]string{true: "", false: host}[event == OriginRequest || event == OriginResponse], event)
	return h, host, err
}

// lambdaResponse decodes a response.
func (v *vm) lambdaResponse(ev *Event, o *goja.Object) (*Response, error) {
	was, kind := ev.Out, ev.Type
	if was == nil {
		was, kind = &Response{}, generated
	}
	status := o.Get("status")
	if !given(o, "status") {
		status = o.Get("statusCode")
	}
	if status == nil || goja.IsUndefined(status) {
		return nil, bad("it returned no response, which has a status")
	}
	code, err := strconv.Atoi(status.String())
	if err != nil || code < 200 || code > 599 {
		return nil, bad("response.status is %q; expected a status from 200 to 599", oneLine(status.String()))
	}
	if ev.Type == ViewerResponse && code != was.Status {
		return nil, bad("response.status is %d; a viewer-response function cannot change it", code)
	}
	out := &Response{Status: code, Header: http.Header{}}
	if given(o, "headers") {
		if out.Header, _, err = v.lambdaHeadersOf(o.Get("headers"), was.Header, "", kind); err != nil {
			return nil, err
		}
	} else if out.Header, err = v.merged(nil, was.Header, "", kind); err != nil {
		return nil, err
	}
	if given(o, "body") && ev.Type != ViewerResponse {
		out.Replaced = true
		if out.Body, err = v.lambdaResponseBody(o); err != nil {
			return nil, err
		}
	}
	return out, fits(out, ev.Type)
}

// fits refuses a response that is larger than Lambda@Edge's, and a body where
// there is none (RFC 9110, section 15.3.5).
func fits(r *Response, event string) error {
	most, size := maxOriginBody, len(r.Body)
	if event == ViewerRequest {
		most = maxViewerBody
		if r.Status == http.StatusNoContent && size > 0 {
			return bad("a response of status 204 has a body")
		}
	}
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	if r.Replaced && size > most {
		return bad("a response of %d bytes; at most %d", size, most)
	}
	return nil
}

func (v *vm) lambdaResponseBody(o *goja.Object) ([]byte, error) {
	if _, ok := o.Get("body").(*goja.Object); ok {
		return nil, bad("response.body is an object; expected a text, with bodyEncoding beside it")
	}
	text := o.Get("body").String()
	if given(o, "bodyEncoding") && o.Get("bodyEncoding").String() == "base64" {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, bad("response.body is not base64: %v", err)
		}
		return b, nil
	}
	return []byte(text), nil
}
