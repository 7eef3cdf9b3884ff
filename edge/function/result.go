package function

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
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
	if o, ok := x.(*goja.Object); ok {
		return "an object (" + o.ClassName() + ")"
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

// requestCookies adds what a function left of the cookies. One that it said among
// the headers comes after them.
func (v *vm) requestCookies(x goja.Value, was []string, h http.Header) error {
	lines, err := v.cookieLines(x, was)
	if err != nil {
		return err
	}
	if said := h["Cookie"]; len(said) > 0 {
		lines = []string{strings.Join(slices.Concat(lines, said), "; ")}
	}
	if len(lines) > 0 {
		h["Cookie"] = lines
	}
	return nil
}

func (v *vm) cookieLines(x goja.Value, was []string) ([]string, error) {
	if v.untouched(x) {
		return was, nil
	}
	now := cookies(was)
	list, err := v.lists(x, now, "request.cookies")
	if err != nil {
		return nil, err
	}
	if same(list, now) {
		return was, nil
	}
	var pairs []string
	for _, m := range list {
		for _, value := range m.values {
			pairs = append(pairs, m.name+"="+value)
		}
	}
	line := strings.Join(pairs, "; ")
	switch {
	case line == "":
		return nil, nil
	case !httpguts.ValidHeaderFieldValue(line):
		return nil, bad("request.cookies has a character that no header has")
	}
	return []string{line}, nil
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

// responseCookies adds what a function left of the cookies. Those that it said
// among the headers, as many do, come after them.
func (v *vm) responseCookies(x goja.Value, was []string, h http.Header) error {
	lines, err := v.setCookieLines(x, was)
	if err != nil {
		return err
	}
	if lines = slices.Concat(lines, h["Set-Cookie"]); len(lines) > 0 {
		h["Set-Cookie"] = lines
	}
	return nil
}

func (v *vm) setCookieLines(x goja.Value, was []string) (lines []string, err error) {
	if v.untouched(x) {
		return was, nil
	}
	now := setCookies(was)
	list, err := v.lists(x, now, "response.cookies")
	if err != nil {
		return nil, err
	}
	if same(list, now) {
		return was, nil
	}
	for _, m := range list {
		for i, value := range m.values {
			line := m.name + "=" + value
			if m.attrs[i] != "" {
				line += "; " + m.attrs[i]
			}
			if !httpguts.ValidHeaderFieldValue(line) || !httpguts.ValidHeaderFieldName(m.name) {
				return nil, bad("response.cookies: %q is no cookie", line)
			}
			lines = append(lines, line)
		}
	}
	return lines, nil
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

var errPending = errors.New("its promise is never settled: what it awaits does not come")
