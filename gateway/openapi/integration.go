package openapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pb33f/go-yaml"

	"meridian"
	"meridian/gateway/event"
	"meridian/gateway/placement"
)

// maxTimeout is API Gateway's own cap on the integration of an HTTP API.
const maxTimeout = 30 * time.Second

// integration reads an x-amazon-apigateway-integration into a route.
func (r *reader) integration(n *yaml.Node, out *Route) {
	at := n
	if n = r.mapping(n, extIntegration); n == nil {
		return
	}
	if t := get(n, "type"); !strings.EqualFold(text(t), "aws_proxy") {
		r.fail(or(t, at), fmt.Sprintf("integration type %q", text(t)), "aws_proxy")
	}
	if s := get(n, "integrationSubtype"); s != nil {
		r.fail(s, fmt.Sprintf("integrationSubtype %q", text(s)), "a function; service integrations are not available")
	}
	if uri := get(n, "uri"); uri == nil {
		r.fail(at, "an integration without uri", "the uri of a function")
	} else {
		out.Function = r.functionName(uri, uriText(uri))
	}
	r.format(get(n, "payloadFormatVersion"), out)
	r.timeout(get(n, "timeoutInMillis"), out)
}

func (r *reader) format(n *yaml.Node, out *Route) {
	switch {
	case n == nil || text(n) == string(event.V2):
	case text(n) == string(event.V1):
		out.Format = event.V1
	default:
		r.fail(n, fmt.Sprintf("payloadFormatVersion %q", text(n)), `"2.0" or "1.0"`)
	}
}

func (r *reader) timeout(n *yaml.Node, out *Route) {
	if n == nil {
		return
	}
	ms, err := strconv.Atoi(text(n))
	out.Timeout = time.Duration(ms) * time.Millisecond
	if err != nil || out.Timeout < 50*time.Millisecond || out.Timeout > maxTimeout {
		r.fail(n, fmt.Sprintf("timeoutInMillis %q", text(n)), "a number of milliseconds from 50 to 30000")
	}
}

// placement reads where a route's function runs.
func (r *reader) placement(n *yaml.Node) placement.Mode {
	m := placement.Mode(text(n))
	if n != nil && !slices.Contains(placement.Modes, m) {
		r.fail(n, fmt.Sprintf("placement %q", text(n)), "auto, local or primary")
	}
	return m
}

// reads reads what a route's reads are promised.
func (r *reader) reads(consistency, unreachable *yaml.Node) (p meridian.Promise) {
	if consistency != nil {
		c, err := meridian.ParseConsistency(text(consistency))
		if err != nil {
			r.fail(consistency, fmt.Sprintf("consistency %q", text(consistency)), meridian.Levels)
		}
		p.Consistency = &c
	}
	if unreachable != nil {
		u, err := meridian.ParseUnreachable(text(unreachable))
		if err != nil {
			r.fail(unreachable, fmt.Sprintf("on-unreachable %q", text(unreachable)), "error or stale")
		}
		p.Unreachable = u
	}
	return p
}

// functionName checks that a function exists.
func (r *reader) functionName(at *yaml.Node, said string) string {
	name := nameOf(said)
	if slices.Contains(r.known.Functions, name) {
		return name
	}
	found := fmt.Sprintf("function %q", name)
	if name != said {
		found += fmt.Sprintf(" (of %q)", said)
	}
	expected := "a function of the config; it has none"
	if len(r.known.Functions) > 0 {
		known := slices.Sorted(slices.Values(r.known.Functions))
		expected = "one of " + strings.Join(known, ", ")
	}
	r.fail(at, found, expected)
	return name
}

// uriText returns the text of a uri, which in a CloudFormation template may be
// the argument of Fn::Sub or Fn::GetAtt.
func uriText(n *yaml.Node) string {
	if sub := get(n, "Fn::Sub"); sub != nil {
		n = sub
	} else if att := get(n, "Fn::GetAtt"); att != nil {
		n = att
	}
	if l := list(n); len(l) > 0 {
		return text(l[0])
	}
	return ""
}

// nameOf returns the name of a function that a uri, an ARN, a template's
// ${Name.Arn} or the name itself speaks of.
func nameOf(uri string) string {
	if _, after, ok := strings.Cut(uri, "/functions/"); ok {
		uri = after
	} else if after, ok := strings.CutPrefix(uri, "functions/"); ok {
		uri = after
	}
	uri = strings.TrimSuffix(uri, "/invocations")
	if _, after, ok := strings.Cut(uri, ":function:"); ok {
		uri = after
	}
	if inner, ok := strings.CutPrefix(uri, "${"); ok {
		inner, _, _ = strings.Cut(inner, "}")
		uri, _, _ = strings.Cut(inner, ".")
	}
	name, _, _ := strings.Cut(uri, ":") // an alias or a version may follow
	return name
}

func or(n, otherwise *yaml.Node) *yaml.Node {
	if n != nil {
		return n
	}
	return otherwise
}
