package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"meridian"
)

// A Response is what a function answered.
type Response struct {
	Status int // 200 to 599
	Header http.Header
	Body   []byte
}

// output is a function's output, with every field as it was written.
type output struct {
	Status  json.RawMessage
	Headers map[string]*scalar
	Multi   map[string][]scalar
	Cookies []string
	Body    *string
	Base64  bool
}

// read takes the fields from an object. Names count in their exact spelling,
// which is why the object is not decoded into a struct.
func (o *output) read(fields map[string]json.RawMessage) error {
	for name, to := range map[string]any{
		"statusCode": &o.Status, "headers": &o.Headers, "multiValueHeaders": &o.Multi,
		"cookies": &o.Cookies, "body": &o.Body, "isBase64Encoded": &o.Base64,
	} {
		if raw, ok := fields[name]; ok {
			if err := json.Unmarshal(raw, to); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// A scalar is text, or a number or boolean in JSON's spelling.
type scalar string

func (s *scalar) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		return json.Unmarshal(raw, (*string)(s))
	}
	if raw[0] == '{' || raw[0] == '[' {
		return fmt.Errorf("%.20s: want text", raw)
	}
	if string(raw) != "null" {
		*s = scalar(raw)
	}
	return nil
}

// Parse reads a function's output. Of format 2.0, JSON without a statusCode is
// the body of a 200. The error has kind Malformed.
//
// Headers that speak of the connection, or that only Meridian may write, are
// dropped.
func Parse(f Format, raw []byte) (*Response, error) {
	r, err := parse(f, raw)
	if err != nil {
		return nil, meridian.WithKind(meridian.Malformed, fmt.Errorf("function's output: %w", err))
	}
	return r, nil
}

func parse(f Format, raw []byte) (*Response, error) {
	if !json.Valid(raw) {
		return nil, fmt.Errorf("%.40q is not JSON", raw)
	}
	var fields map[string]json.RawMessage
	err := json.Unmarshal(raw, &fields) // an error says that it is no object
	if _, ok := fields["statusCode"]; !ok && f == V2 {
		return &Response{http.StatusOK, http.Header{"Content-Type": {"application/json"}}, bytes.TrimSpace(raw)}, nil
	}
	if err != nil {
		return nil, err
	}
	var o output
	if err := o.read(fields); err != nil {
		return nil, err
	}
	r := &Response{Header: http.Header{}}
	if r.Status, err = status(o.Status); err != nil {
		return nil, err
	}
	if err := o.headers(f, r.Header); err != nil {
		return nil, err
	}
	if r.Body, err = o.body(); err != nil {
		return nil, err
	}
	if r.Header.Get("Content-Type") == "" && len(r.Body) > 0 {
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return r, nil
}

// status reads a number, or a number in quotes. There are no interim answers:
// 1xx is for the connection, not for a function.
func status(raw json.RawMessage) (int, error) {
	if raw == nil {
		return 0, errors.New("no statusCode")
	}
	s, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil || s < 200 || s > 599 {
		return 0, fmt.Errorf("statusCode %.20s: want a number from 200 to 599", raw)
	}
	return s, nil
}

func (o *output) body() ([]byte, error) {
	switch {
	case o.Body == nil:
		return nil, nil
	case !o.Base64:
		return []byte(*o.Body), nil
	}
	b, err := base64.StdEncoding.DecodeString(*o.Body)
	if err != nil {
		return nil, fmt.Errorf("body is not base64: %w", err)
	}
	return b, nil
}

// headers writes the headers of o to h. Of format 1.0 both maps count, and for
// the same name the one with several values wins; of 2.0 each cookie becomes a
// Set-Cookie.
func (o *output) headers(f Format, h http.Header) error {
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		if v := o.Headers[name]; v != nil {
			h[textproto.CanonicalMIMEHeaderKey(name)] = []string{string(*v)}
		}
	}
	switch f {
	case V1:
		for name, values := range o.Multi {
			var vs []string
			for _, v := range values {
				vs = append(vs, string(v))
			}
			h[textproto.CanonicalMIMEHeaderKey(name)] = vs
		}
	case V2:
		h["Set-Cookie"] = append(h["Set-Cookie"], o.Cookies...)
	}
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(c string) bool {
		return strings.HasPrefix(strings.TrimSpace(c), "Meridian-")
	})
	return clean(h)
}

// clean drops what a function may not say and refuses what HTTP cannot carry.
func clean(h http.Header) error {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") { // RFC 9110, section 7.6.1
			h.Del(strings.TrimSpace(name))
		}
	}
	for name, values := range h {
		if Reserved(name) || len(values) == 0 {
			delete(h, name)
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return fmt.Errorf("header %.40q: want a name and a value that HTTP can carry", name)
		}
	}
	return nil
}

// Reserved reports whether a header, in canonical form, speaks of the
// connection (RFC 9110, section 7.6.1) or is Meridian's or the gateway's own.
func Reserved(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Trailers", "Transfer-Encoding", "Upgrade", "Content-Length":
		return true
	}
	return strings.HasPrefix(name, "Meridian-") || strings.HasPrefix(name, "Apigw-")
}
