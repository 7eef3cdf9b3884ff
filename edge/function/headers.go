package function

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/net/http/httpguts"
)

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
	return v.merged(lowered(list), was, host, event)
}

// lowered returns headers by their names in lower case. Of two that differ in
// case only, the later one was said by the function, and counts.
func lowered(list []many) (out []many) {
	for _, m := range list {
		m.name = strings.ToLower(m.name)
		if i := slices.IndexFunc(out, func(o many) bool { return o.name == m.name }); i >= 0 {
			out[i] = m
			continue
		}
		out = append(out, m)
	}
	return out
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
