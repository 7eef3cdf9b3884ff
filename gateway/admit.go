package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"meridian"
	"meridian/gateway/openapi"
	"meridian/identity"
)

// A verdict says whether a caller may use a route, and why.
type verdict struct {
	refused   meridian.Kind       // "" for those who may
	who       *identity.Principal // who satisfied the route, or nil
	why       string
	challenge string // for WWW-Authenticate
}

// admit decides whether a caller, as verified, may use a route. The error is
// what the verification said.
//
// A route that API keys or certificates open answers 403 to callers without a good
// one, as REST APIs do; a route that a JWT opens answers 401.
func admit(s openapi.Security, p *identity.Principal, err error) verdict {
	if len(s.Any) == 0 {
		return verdict{why: "the route is open"}
	}
	var short *openapi.Requirement // satisfied but for its scopes
	for i, r := range s.Any {
		who, scopes := satisfies(r, p)
		switch {
		case who != nil && scopes:
			return verdict{who: who, why: fmt.Sprintf("%s %s satisfies %s", who.Kind, who.ID, r.Name)}
		case who != nil:
			short = &s.Any[i]
		}
	}
	switch {
	case s.Optional:
		return verdict{why: "the route is open to callers without a credential too"}
	case short != nil:
		return verdict{
			refused:   meridian.Forbidden,
			why:       "the token has none of the route's scopes",
			challenge: fmt.Sprintf(`Bearer scope="%s" error="insufficient_scope"`, strings.Join(short.Scopes, " ")),
		}
	}
	return refuse(s, err)
}

// satisfies returns the principal that has the credential that r asks for, and
// whether its scopes suffice.
func satisfies(r openapi.Requirement, p *identity.Principal) (who *identity.Principal, scopes bool) {
	switch r.Kind {
	case openapi.APIKey:
		return p.Of(identity.KindAPIKey), true
	case openapi.Certificate: // only an edge sees one, and seals it
		return p.Of(identity.KindCertificate), true
	}
	who = p.Of(identity.KindJWT)
	if who == nil || who.Authorizer != r.Name {
		return nil, false
	}
	has := func(s string) bool { return slices.Contains(who.Scopes, s) }
	return who, len(r.Scopes) == 0 || slices.ContainsFunc(r.Scopes, has)
}

// refuse answers a caller without a credential, or with a bad one.
func refuse(s openapi.Security, err error) verdict {
	why := "no credential that the route asks for"
	if err != nil {
		why = err.Error()
	}
	if !asksFor(s, openapi.JWT) {
		return verdict{refused: meridian.Forbidden, why: why}
	}
	return verdict{refused: meridian.Unauthenticated, why: why, challenge: identity.Challenge(err)}
}

func asksFor(s openapi.Security, kind string) bool {
	return slices.ContainsFunc(s.Any, func(r openapi.Requirement) bool { return r.Kind == kind })
}

// credentials returns the headers that a route's security looks at. What else
// a caller sends, such as a token of the application's own, is not judged.
func credentials(s openapi.Security, h http.Header) http.Header {
	out := http.Header{}
	if asksFor(s, openapi.APIKey) {
		out[identity.HeaderAPIKey] = h[identity.HeaderAPIKey]
	}
	if asksFor(s, openapi.JWT) {
		out["Authorization"] = h["Authorization"]
	}
	return out
}

// authenticate finds out who asks for a route, and decides.
//
// What an edge sealed is opened; a seal that does not open is refused whatever
// stands beside it. Without one the original credential is verified here.
func (x *exchange) authenticate() verdict {
	s := x.route.Security
	if len(s.Any) == 0 {
		return admit(s, nil, nil)
	}
	if sealed := x.r.Header.Get(identity.HeaderIdentity); x.trusted && sealed != "" {
		p, err := x.open(sealed)
		if err != nil {
			return verdict{refused: meridian.Unauthenticated, why: err.Error(), challenge: "Bearer"}
		}
		return admit(s, p, nil)
	}
	if x.g.deps.Verify == nil {
		return admit(s, nil, nil)
	}
	p, err := x.g.deps.Verify.Verify(credentials(s, x.r.Header))
	return admit(s, p, err)
}

func (x *exchange) open(sealed string) (*identity.Principal, error) {
	if x.g.deps.Open == nil {
		return nil, meridian.WithKind(meridian.Unauthenticated, fmt.Errorf("no sealed identity is known here"))
	}
	return x.g.deps.Open.Open(sealed, identity.Binding{
		Method:    x.r.Method,
		Host:      x.r.Host,
		Path:      x.path,
		Query:     x.query,
		RequestID: x.r.Header.Get(identity.HeaderRequest),
	})
}
