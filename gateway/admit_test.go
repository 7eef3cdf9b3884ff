package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/gateway/openapi"
	"meridian/identity"
)

// TestAdmit runs the scripts in testdata/admit. A case gives what the route
// asks for and what the verification found; the result is the verdict.
//
//	cert           a client's certificate, or a route's wish for one
//	key            an API key, or as "asks" a route's wish for one
//	jwt:NAME[:a,b] a token of that authorizer, with scopes
//	optional       the route takes callers without a credential too
//	bad:KIND       the verification failed
func TestAdmit(t *testing.T) {
	datadriven.Walk(t, "testdata/admit", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var s openapi.Security
			var p *identity.Principal
			var err error
			for _, arg := range d.CmdArgs {
				for _, v := range arg.Vals {
					switch arg.Key {
					case "asks":
						s = asks(s, v)
					case "has":
						p, err = has(p, v)
					default:
						t.Fatalf("unknown argument %q", arg.Key)
					}
				}
			}
			v := admit(s, p, err)
			if v.refused == "" {
				return fmt.Sprintf("let in: %s\n", v.why)
			}
			out := fmt.Sprintf("%d: %s\n", replyTo(v.refused).status, v.why)
			if v.challenge != "" {
				out += v.challenge + "\n"
			}
			return out
		})
	})
}

func asks(s openapi.Security, v string) openapi.Security {
	kind, rest, _ := strings.Cut(v, ":")
	switch kind {
	case "optional":
		s.Optional = true
	case "key":
		s.Any = append(s.Any, openapi.Requirement{Kind: openapi.APIKey, Name: "key"})
	case "cert":
		s.Any = append(s.Any, openapi.Requirement{Kind: openapi.Certificate, Name: "mtls"})
	case "jwt":
		name, scopes, _ := strings.Cut(rest, ":")
		s.Any = append(s.Any, openapi.Requirement{Kind: openapi.JWT, Name: name, Scopes: fields(scopes)})
	}
	return s
}

func has(p *identity.Principal, v string) (*identity.Principal, error) {
	kind, rest, _ := strings.Cut(v, ":")
	switch kind {
	case "bad":
		return nil, meridian.WithKind(meridian.Kind(rest), errors.New("it expired"))
	case "key":
		return &identity.Principal{Kind: identity.KindAPIKey, ID: "k1", Also: p}, nil
	case "cert":
		return p.And(&identity.Principal{Kind: identity.KindCertificate, ID: "3f"}), nil
	}
	name, scopes, _ := strings.Cut(rest, ":")
	return &identity.Principal{Kind: identity.KindJWT, ID: "ann", Authorizer: name, Scopes: fields(scopes), Also: p}, nil
}

func fields(s string) []string { return strings.Fields(strings.ReplaceAll(s, "+", " ")) }
