package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"meridian"
)

// A Request is what an event is made of.
type Request struct {
	ID       string
	Time     time.Time
	RouteKey string            // "GET /pets/{id}" or "$default"
	Resource string            // the route's path
	Params   map[string]string // decoded path parameters

	Method, Path, Query string // as received; the path is raw
	Protocol            string // "HTTP/1.1"
	Host                string // without port
	SourceIP            string
	Header              http.Header // without hop-by-hop headers
	Body                []byte

	AccountID, APIID, Stage string
	Authorizer              *Authorizer // nil if the route asks for no credential
}

// An Authorizer is what a verified credential says of the caller.
type Authorizer struct {
	// Of a JWT: its claims as text, and its scopes.
	Claims map[string]string
	Scopes []string
	// Of an API key. HTTP APIs have none of their own; format 2.0 shows it as a
	// Lambda authorizer's context, format 1.0 where REST APIs do.
	APIKeyID, APIKeyName string
}

// Marshal returns the event of r. Its error has kind TooLarge if that has more
// than MaxSize bytes.
func Marshal(f Format, r *Request) ([]byte, error) {
	var doc any
	if f == V1 {
		doc = v1(r)
	} else {
		doc = v2(r)
	}
	var b bytes.Buffer
	b.Grow(len(r.Body)*4/3 + 4096)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(out) > MaxSize {
		return nil, meridian.WithKind(meridian.TooLarge, fmt.Errorf("the event has %d bytes: expected at most %d", len(out), MaxSize))
	}
	return out, nil
}

// clf is the time of the Common Log Format.
const clf = "02/Jan/2006:15:04:05 -0700"

func (r *Request) clf() string { return r.Time.UTC().Format(clf) }

// domainPrefix is the first label of the host.
func (r *Request) domainPrefix() string {
	prefix, _, _ := strings.Cut(r.Host, ".")
	return prefix
}

// body returns the body as the event carries it: as text if the content type
// says so and the bytes are text, else in base64. API Gateway takes text/* and
// three application types for text, and nothing else: a form is base64.
func (r *Request) body() (text string, encoded bool) {
	if len(r.Body) == 0 {
		return "", false
	}
	if isText(r.Header.Get("Content-Type")) && r.Header.Get("Content-Encoding") == "" && utf8.Valid(r.Body) {
		return string(r.Body), false
	}
	return base64.StdEncoding.EncodeToString(r.Body), true
}

func isText(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil && t == "" {
		return false
	}
	switch t {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(t, "text/")
}

// single returns the headers in lower case, several values joined by commas.
func single(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return out
}
