package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pb33f/go-yaml"
)

// A scheme is a security scheme as the gateway sees it.
type scheme struct {
	kind string // of a Requirement, or "" for what the application checks itself
}

// securitySchemes reads components.securitySchemes. A configured authorizer
// that no scheme is for is a mistake: were it only misspelled, its routes
// would stand open.
func (r *reader) securitySchemes() {
	r.schemes = map[string]scheme{}
	for k, n := range entries(get(get(r.root, "components"), "securitySchemes")) {
		if n = r.mapping(n, "security scheme "+k.Value); n != nil {
			r.schemes[k.Value] = scheme{r.schemeKind(k, n)}
		}
	}
	for _, a := range r.known.Authorizers {
		if _, ok := r.schemes[a]; !ok {
			found := fmt.Sprintf("no security scheme for the configured authorizer %q", a)
			r.fail(nil, found, "components.securitySchemes."+a)
		}
	}
}

func (r *reader) schemeKind(k, n *yaml.Node) string {
	name, kind := k.Value, text(get(n, "type"))
	header := text(get(n, "in")) + " " + strings.ToLower(text(get(n, "name")))
	configured := slices.Contains(r.known.Authorizers, name)
	authorizer := get(n, extAuthorizer)
	switch {
	case authorizer != nil && text(get(r.deref(authorizer), "type")) != "jwt":
		r.fail(authorizer, fmt.Sprintf("authorizer type %q", text(get(r.deref(authorizer), "type"))), "jwt")
	case configured:
		return JWT
	case authorizer != nil || kind == "oauth2" || kind == "openIdConnect":
		found := fmt.Sprintf("security scheme %q needs a JWT authorizer", name)
		r.fail(k, found, fmt.Sprintf("an authorizer named %q in the config, which says its issuer and keys", name))
	case kind == "apiKey" && header == "header x-api-key":
		return APIKey
	case kind == "mutualTLS" && r.known.Certificates:
		return Certificate
	case kind == "apiKey" || kind == "http" || kind == "mutualTLS":
		r.api.Notes = append(r.api.Notes, fmt.Sprintf("security scheme %q is left to the application", name))
	default:
		r.fail(or(get(n, "type"), k), fmt.Sprintf("security scheme type %q", kind), "apiKey, http, oauth2, openIdConnect or mutualTLS")
	}
	return ""
}

// security reads a list of alternatives. A credential of the application's own
// cannot be asked for here, so an alternative that names one lets all pass.
func (r *reader) security(n *yaml.Node) (s Security) {
	for _, alternative := range list(n) {
		names := maps.Collect(entries(alternative))
		if len(names) == 0 {
			s.Optional = true
		}
		if len(names) > 1 {
			r.fail(alternative, "two security schemes at once", "one scheme in each alternative")
			continue
		}
		for k, scopes := range names {
			sc, ok := r.schemes[k.Value]
			if !ok {
				r.fail(k, fmt.Sprintf("security scheme %q", k.Value), "a name from components.securitySchemes")
			}
			if sc.kind == "" {
				s.Optional = true
				continue
			}
			s.Any = append(s.Any, Requirement{Kind: sc.kind, Name: k.Value, Scopes: texts(scopes)})
		}
	}
	return s
}

func texts(n *yaml.Node) (out []string) {
	for _, e := range list(n) {
		out = append(out, text(e))
	}
	return out
}
