package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pb33f/go-yaml"
	"github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi/datamodel"

	"meridian/gateway/event"
	"meridian/gateway/route"
)

// Extensions of OpenAPI that are read.
const (
	extFunction    = "x-meridian-function"
	extIntegration = "x-amazon-apigateway-integration"
	extAnyMethod   = "x-amazon-apigateway-any-method"
	extAuthorizer  = "x-amazon-apigateway-authorizer"
	extCORS        = "x-amazon-apigateway-cors"
	extPlacement   = "x-meridian-placement"
	extConsistency = "x-meridian-consistency"
	extUnreachable = "x-meridian-on-unreachable"
)

// Parse reads the file of that name. Its error is of type Problems.
func Parse(file string, text []byte, known Known) (*API, error) {
	r := &reader{file: file, known: known, api: &API{}}
	if r.open(text); len(r.problems) == 0 {
		r.document()
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return r.api, nil
}

// A reader turns the nodes of one file into an API.
type reader struct {
	file     string
	known    Known
	root     *yaml.Node
	api      *API
	schemes  map[string]scheme
	places   []*yaml.Node // of each route, for conflicts
	problems Problems
}

// open parses the text and lets libopenapi resolve its references.
func (r *reader) open(text []byte) {
	if len(bytes.TrimSpace(text)) == 0 {
		r.fail(nil, "the file is empty", document)
		return
	}
	c := datamodel.NewDocumentConfiguration() // reads no other file and no network
	c.Logger = slog.New(slog.DiscardHandler)
	doc, err := libopenapi.NewDocumentWithConfiguration(text, c)
	if err != nil {
		r.library(err)
		return
	}
	if v := doc.GetVersion(); !strings.HasPrefix(v, "3.0") && !strings.HasPrefix(v, "3.1") {
		r.fail(nil, fmt.Sprintf("version %q", v), "openapi: 3.0.x or 3.1.x")
		return
	}
	if _, err := doc.BuildV3Model(); err != nil {
		r.library(err)
		return
	}
	r.root = doc.GetSpecInfo().RootNode
	if r.root.Kind == yaml.DocumentNode {
		r.root = r.root.Content[0]
	}
}

func (r *reader) document() {
	info := get(r.root, "info")
	r.api.Title, r.api.Version = text(get(info, "title")), text(get(info, "version"))
	r.securitySchemes()
	r.api.CORS = r.cors(get(r.root, extCORS))
	above := defaults{security: get(r.root, "security")}.below(r.root)
	if n := get(r.root, extAnyMethod); n != nil {
		r.operation(route.Key{Path: route.Default}, n, r.mapping(n, extAnyMethod), above)
	}
	paths := get(r.root, "paths")
	if paths == nil && len(r.api.Routes) == 0 && len(r.problems) == 0 {
		r.fail(nil, "no paths", "at least one path with an operation")
		return
	}
	for key, item := range entries(r.mapping(paths, "paths")) {
		if !strings.HasPrefix(key.Value, "x-") {
			r.pathItem(key, r.mapping(item, "path "+key.Value), above)
		}
	}
	r.table()
}

// defaults is what an operation takes from the levels above it.
type defaults struct {
	function, integration, security, placement, consistency, unreachable *yaml.Node
}

// below returns the defaults below a node.
func (d defaults) below(n *yaml.Node) defaults {
	if f := get(n, extFunction); f != nil {
		d.function, d.integration = f, nil
	}
	if i := get(n, extIntegration); i != nil {
		d.function, d.integration = nil, i
	}
	if p := get(n, extPlacement); p != nil {
		d.placement = p
	}
	if c := get(n, extConsistency); c != nil {
		d.consistency = c
	}
	if u := get(n, extUnreachable); u != nil {
		d.unreachable = u
	}
	return d
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// pathItem reads one path. A key that OpenAPI does not know is a mistake: a
// misspelled method would otherwise be a route that is not there.
func (r *reader) pathItem(key, item *yaml.Node, above defaults) {
	above = above.below(item)
	path := key.Value
	if strings.TrimPrefix(path, "/") == route.Default {
		path = route.Default
	}
	for k, op := range entries(item) {
		switch {
		case k.Value == extAnyMethod:
			r.operation(r.anyKey(path, op), k, r.mapping(op, extAnyMethod), above)
		case slices.Contains(methods, k.Value) && path == route.Default:
			r.fail(k, k.Value+" on $default", extAnyMethod)
		case slices.Contains(methods, k.Value):
			r.operation(route.Key{Method: strings.ToUpper(k.Value), Path: path}, k, r.mapping(op, k.Value+" "+path), above)
		case slices.Contains([]string{"summary", "description", "servers", "parameters"}, k.Value), strings.HasPrefix(k.Value, "x-"):
		default:
			r.fail(k, fmt.Sprintf("key %q in path %s", k.Value, path), "a method in lower case, summary, description, servers, parameters or an extension x-...")
		}
	}
}

// anyKey is the key of an any-method: isDefaultRoute is how API Gateway's own
// exports mark the $default route.
func (r *reader) anyKey(path string, op *yaml.Node) route.Key {
	if path == route.Default || text(get(r.deref(op), "isDefaultRoute")) == "true" {
		return route.Key{Path: route.Default}
	}
	return route.Key{Method: route.Any, Path: path}
}

// operation reads one operation and adds its route.
func (r *reader) operation(k route.Key, at, op *yaml.Node, above defaults) {
	if op == nil {
		return
	}
	d := above.below(op)
	if s := get(op, "security"); s != nil {
		d.security = s
	}
	out := Route{Key: k, Operation: text(get(op, "operationId")), Format: event.V2, Line: at.Line}
	switch {
	case d.integration != nil:
		r.integration(d.integration, &out)
	case d.function != nil:
		out.Function = r.functionName(d.function, d.function.Value)
	default:
		r.fail(at, fmt.Sprintf("route %s without a function", k), extFunction+": NAME or "+extIntegration)
	}
	out.Security = r.security(d.security)
	out.Placement = r.placement(d.placement)
	out.Reads = r.reads(d.consistency, d.unreachable)
	r.api.Routes = append(r.api.Routes, out)
	r.places = append(r.places, at)
}

// table builds the table and blames the place of a route that it refuses.
func (r *reader) table() {
	keys := make([]route.Key, len(r.api.Routes))
	for i, rt := range r.api.Routes {
		keys[i] = rt.Key
	}
	table, err := route.New(keys)
	var c *route.Conflict
	if errors.As(err, &c) {
		found, expected, _ := strings.Cut(c.Why, ": expected ")
		if c.With >= 0 {
			found += fmt.Sprintf(" (line %d)", r.api.Routes[c.With].Line)
		}
		r.fail(r.places[c.Index], found, expected)
	}
	r.api.Table = table
}
