package function

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/net/http/httpguts"
)

// maxBody bounds the body of a response that a function makes, in bytes, and
// maxHeaders the names and values of its headers.
const (
	maxBody    = 1 << 20
	maxHeaders = 32 << 10
)

// invalid is what a function returned and may not.
type invalid struct{ error }

func bad(format string, args ...any) error { return invalid{fmt.Errorf(format, args...)} }

// returned decodes what a CloudFront function returned.
func (v *vm) returned(e *Event, x goja.Value) (*Result, error) {
	o, ok := x.(*goja.Object)
	if !ok {
		return nil, bad("it returned %s; expected a request or a response", kindOf(x))
	}
	if e.Type == ViewerResponse || given(o, "statusCode") {
		resp, err := v.response(e, o)
		return &Result{Response: resp}, err
	}
	req, err := v.request(e, o)
	return &Result{Request: req, Route: v.route}, err
}

func kindOf(x goja.Value) string {
	switch {
	case x == nil || goja.IsUndefined(x):
		return "nothing"
	case goja.IsNull(x):
		return "null"
	}
	return fmt.Sprintf("a %s", x.ExportType())
}

func given(o *goja.Object, name string) bool {
	x := o.Get(name)
	return x != nil && !goja.IsUndefined(x) && !goja.IsNull(x)
}

// request decodes a request that goes on. What was not changed stays as the
// viewer wrote it, byte for byte.
func (v *vm) request(e *Event, o *goja.Object) (*Request, error) {
	was := &e.In
	out := &Request{Method: was.Method, Path: was.Path, Query: was.Query, HasQuery: was.HasQuery, Host: was.Host}
	if !given(o, "uri") || !given(o, "method") {
		return nil, bad("it returned neither a request, which has a method and a uri, nor a response, which has a statusCode")
	}
	if m := o.Get("method").String(); m != was.Method {
		return nil, bad("request.method is %q; it is read-only", m)
	}
	if uri := o.Get("uri").String(); uri != was.Path {
		path, err := pathOf(uri)
		if err != nil {
			return nil, err
		}
		out.Path = path
	}
	if err := v.query(o.Get("querystring"), out); err != nil {
		return nil, err
	}
	var err error
	if out.Header, err = v.headers(o.Get("headers"), was.Header, was.Host, e.Type); err != nil {
		return nil, err
	}
	return out, v.requestCookies(o.Get("cookies"), was.Header["Cookie"], out.Header)
}

// query decodes the query of a request: CloudFront's object, or a text.
func (v *vm) query(x goja.Value, out *Request) error {
	if isText(x) {
		if raw := x.String(); raw != out.Query {
			out.Query, out.HasQuery = escaped(raw, "#"), raw != ""
		}
		return nil
	}
	if v.untouched(x) {
		return nil
	}
	now, bare := parameters(out.Query)
	list, err := v.lists(x, now, "request.querystring")
	if err == nil && !same(list, now) {
		out.Query = queryOf(list, bare)
		out.HasQuery = out.Query != ""
	}
	return err
}

func (v *vm) requestCookies(x goja.Value, was []string, h http.Header) error {
	if v.untouched(x) {
		if len(was) > 0 {
			h["Cookie"] = was
		}
		return nil
	}
	now := cookies(was)
	list, err := v.lists(x, now, "request.cookies")
	if err != nil {
		return err
	}
	if same(list, now) {
		if len(was) > 0 {
			h["Cookie"] = was
		}
		return nil
	}
	var pairs []string
	for _, m := range list {
		for _, value := range m.values {
			pairs = append(pairs, m.name+"="+value)
		}
	}
	if line := strings.Join(pairs, "; "); line != "" {
		if !httpguts.ValidHeaderFieldValue(line) {
			return bad("request.cookies has a character that no header has")
		}
		h["Cookie"] = []string{line}
	}
	return nil
}

// response decodes a response: a new one, or the origin's as it was changed.
func (v *vm) response(e *Event, o *goja.Object) (*Response, error) {
	was, kind := e.Out, e.Type
	if was == nil {
		was, kind = &Response{}, generated
	}
	status := o.Get("statusCode")
	if !given(o, "statusCode") {
		return nil, bad("it returned no response, which has a statusCode")
	}
	out := &Response{Status: int(status.ToInteger())}
	if float64(out.Status) != status.ToFloat() || out.Status < 200 || out.Status > 599 {
		return nil, bad("response.statusCode is %s; expected a number from 200 to 599", oneLine(status.String()))
	}
	var err error
	if out.Header, err = v.headers(o.Get("headers"), was.Header, "", kind); err != nil {
		return nil, err
	}
	if err = v.responseCookies(o.Get("cookies"), was.Header["Set-Cookie"], out.Header); err != nil {
		return nil, err
	}
	if given(o, "body") {
		out.Replaced = true
		out.Body, err = bodyOf(o.Get("body"))
	}
	return out, err
}

func (v *vm) responseCookies(x goja.Value, was []string, h http.Header) error {
	if v.untouched(x) {
		if len(was) > 0 {
			h["Set-Cookie"] = was
		}
		return nil
	}
	now := setCookies(was)
	list, err := v.lists(x, now, "response.cookies")
	if err != nil {
		return err
	}
	if same(list, now) {
		if len(was) > 0 {
			h["Set-Cookie"] = was
		}
		return nil
	}
	for _, m := range list {
		for i, value := range m.values {
			line := m.name + "=" + value
			if m.attrs[i] != "" {
				line += "; " + m.attrs[i]
			}
			if !httpguts.ValidHeaderFieldValue(line) || !httpguts.ValidHeaderFieldName(m.name) {
				return bad("response.cookies: %q is no cookie", line)
			}
			h["Set-Cookie"] = append(h["Set-Cookie"], line)
		}
	}
	return nil
}

// bodyOf decodes a body: a text, or {encoding, data}.
func bodyOf(x goja.Value) ([]byte, error) {
	o, ok := x.(*goja.Object)
	if !ok {
		return limited([]byte(x.String()))
	}
	if !given(o, "data") {
		return nil, bad("response.body has no data; expected a text, or {encoding, data}")
	}
	data := o.Get("data").String()
	switch enc := o.Get("encoding"); {
	case enc == nil || goja.IsUndefined(enc) || enc.String() == "text":
		return limited([]byte(data))
	case enc.String() == "base64":
		b, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, bad("response.body.data is not base64: %v", err)
		}
		return limited(b)
	default:
		return nil, bad("response.body.encoding is %q; expected text or base64", enc)
	}
}

func limited(b []byte) ([]byte, error) {
	if len(b) > maxBody {
		return nil, bad("a body of %d bytes; at most %d", len(b), maxBody)
	}
	return b, nil
}

// lists decodes CloudFront's object of names and values. What is in multiValue
// counts, unless only value was changed: that is the first then.
func (v *vm) lists(x goja.Value, was []many, what string) ([]many, error) {
	if x == nil || goja.IsUndefined(x) || goja.IsNull(x) {
		return nil, nil
	}
	o, ok := x.(*goja.Object)
	if !ok {
		return nil, bad("%s is %s; expected an object", what, kindOf(x))
	}
	var out []many
	for _, name := range o.Keys() {
		m := many{name: name}
		e, ok := o.Get(name).(*goja.Object)
		if !ok {
			return nil, bad("%s[%q] is %s; expected an object with a value", what, name, kindOf(o.Get(name)))
		}
		each := []*goja.Object{e}
		if all, ok := e.Get("multiValue").(*goja.Object); ok && v.length(all) > 0 {
			if each, ok = v.objects(all); !ok {
				return nil, bad("%s[%q].multiValue: expected a list of objects with a value", what, name)
			}
		}
		for _, one := range each {
			value := one.Get("value")
			if value == nil || goja.IsUndefined(value) || goja.IsNull(value) {
				return nil, bad("%s[%q] has no value", what, name)
			}
			m.values = append(m.values, value.String())
			attr := ""
			if given(one, "attributes") {
				attr = one.Get("attributes").String()
			}
			m.attrs = append(m.attrs, attr)
		}
		if first := e.Get("value"); len(m.values) > 1 && given(e, "value") && slices.ContainsFunc(was, func(w many) bool { return w.name == name && slices.Equal(w.values, m.values) }) {
			m.values[0] = first.String()
		}
		out = append(out, m)
	}
	return out, nil
}

// objects returns the elements of a list of objects.
func (v *vm) objects(list *goja.Object) (out []*goja.Object, ok bool) {
	n := v.length(list)
	if n > 1000 {
		return nil, false
	}
	for i := range n {
		o, ok := list.Get(fmt.Sprint(i)).(*goja.Object)
		if !ok {
			return nil, false
		}
		out = append(out, o)
	}
	return out, true
}

// same reports whether what a function left is what it was given.
func same(left, given []many) bool {
	return slices.EqualFunc(left, ordered(given), func(x, y many) bool {
		return x.name == y.name && slices.Equal(x.values, y.values) && slices.Equal(x.attrs, y.attrs)
	})
}

// index returns the whole number that a name is as a key of an object, or -1.
func index(name string) int64 {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != name {
		return -1
	}
	return int64(n)
}

// headers decodes headers. What functions do not see stays, and what they may
// not change must be as it was.
func (v *vm) headers(x goja.Value, was http.Header, host, event string) (http.Header, error) {
	if v.untouched(x) {
		out := maps.Clone(was)
		delete(out, "Cookie")
		delete(out, "Set-Cookie")
		return out, nil
	}
	var now []many
	for name, values := range was {
		if len(values) > 1 {
			now = append(now, many{name: strings.ToLower(name), values: values})
		}
	}
	list, err := v.lists(x, now, "headers")
	if err != nil {
		return nil, err
	}
	return v.merged(list, was, host, event)
}

// merged returns the headers that a function left, with those that it does not
// see.
func (v *vm) merged(list []many, was http.Header, host, event string) (http.Header, error) {
	out, size := http.Header{}, 0
	for name, values := range was {
		if hidden(name) || stays(name, event) {
			out[name] = values
		}
	}
	seen := map[string]bool{}
	for _, m := range list {
		name := http.CanonicalHeaderKey(m.name)
		seen[name] = true
		if name == "Host" && host != "" {
			if !slices.Equal(m.values, []string{host}) {
				return nil, bad("the header host is read-only here")
			}
			continue
		}
		if stays(name, event) {
			continue
		}
		if old, ok := was[name]; ok && slices.Equal(old, m.values) {
			out[name] = old
			continue
		}
		if err := mayChange(name, m.values, event); err != nil {
			return nil, err
		}
		for _, value := range m.values {
			size += len(name) + len(value)
		}
		out[name] = append(out[name], m.values...)
	}
	if size > maxHeaders {
		return nil, bad("headers of %d bytes were added; at most %d", size, maxHeaders)
	}
	for name, values := range was {
		switch {
		case seen[name] || !readOnly(name, event):
		case isResponse(event): // a response of the function's own in place of the origin's
			out[name] = values
		default:
			return nil, bad("the header %s is read-only, and was removed", strings.ToLower(name))
		}
	}
	return out, nil
}

// generated stands for the event of a response that a function makes.
const generated = "generated"

func isResponse(event string) bool {
	return event == ViewerResponse || event == OriginResponse || event == generated
}

// stays reports headers that the edge writes itself: what a function says of
// them is not heard.
func stays(name, event string) bool { return name == "Content-Length" && isResponse(event) }

func mayChange(name string, values []string, event string) error {
	low := strings.ToLower(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return bad("%q is no header's name", low)
	case readOnly(name, event):
		return bad("the header %s is read-only in %s", low, event)
	case disallowed(low):
		return bad("the header %s may not be set by a function", low)
	}
	for _, value := range values {
		if !httpguts.ValidHeaderFieldValue(value) {
			return bad("the header %s has a value that no header has: %q", low, value)
		}
	}
	return nil
}

// readOnlyHeaders are those that CloudFront refuses changes of, by event.
var readOnlyHeaders = map[string][]string{
	ViewerRequest:  {"Content-Length", "Host", "Transfer-Encoding", "Via"},
	OriginRequest:  {"Accept-Encoding", "Content-Length", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Transfer-Encoding", "Via"},
	OriginResponse: {"Transfer-Encoding", "Via"},
	ViewerResponse: {"Warning", "Via", "Transfer-Encoding"},
	generated:      {"Transfer-Encoding"},
}

func readOnly(name, event string) bool { return slices.Contains(readOnlyHeaders[event], name) }

var disallowedNames = map[string]bool{
	"connection": true, "expect": true, "keep-alive": true, "proxy-authenticate": true, "proxy-authorization": true, "proxy-connection": true, "trailer": true,
	"upgrade": true, "x-accel-buffering": true, "x-accel-charset": true, "x-accel-limit-rate": true, "x-accel-redirect": true, "x-cache": true,
	"x-forwarded-proto": true, "x-real-ip": true, "http2-settings": true, "te": true,
	"x-amzn-auth": true, "x-amzn-cf-billing": true, "x-amzn-cf-id": true, "x-amzn-cf-xff": true, "x-amzn-errortype": true, "x-amzn-fle-profile": true,
	"x-amzn-header-count": true, "x-amzn-header-order": true, "x-amzn-lambda-integration-tag": true, "x-amzn-requestid": true,
}

// disallowed reports headers that no function may add.
func disallowed(low string) bool {
	return disallowedNames[low] || internal(low) || strings.HasPrefix(low, "x-edge-") || strings.HasPrefix(low, "x-amz-cf-") || strings.HasPrefix(low, "x-meridian-")
}

// pathOf returns a path as it may stand in a request line: what is no byte of a
// path is escaped, and a question mark is no query's.
func pathOf(uri string) (string, error) {
	if !strings.HasPrefix(uri, "/") {
		return "", bad("request.uri is %q; expected a path that begins with /", oneLine(uri))
	}
	if len(uri) > 8192 {
		return "", bad("request.uri has %d bytes; at most 8192", len(uri))
	}
	return escaped(uri, "?#"), nil
}

// queryOf writes a query.
func queryOf(list []many, bare map[string]bool) string {
	var pairs []string
	for _, m := range list {
		for _, value := range m.values {
			pair := escaped(m.name, "&#=")
			if value != "" || !bare[m.name] {
				pair += "=" + escaped(value, "&#")
			}
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "&")
}

// escaped escapes what is no character of a URL, and those of also.
func escaped(s, also string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7f || strings.IndexByte(also, c) >= 0 || c == '"' || c == '<' || c == '>':
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var errPending = errors.New("its promise is never settled: what it awaits does not come")
