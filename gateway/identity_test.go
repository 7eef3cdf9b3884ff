package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/golang-jwt/jwt/v5"

	"meridian/gateway"
	"meridian/identity"
)

// secured is a world with one API key, one JWT authorizer and one edge.
type secured struct {
	*world
	key    string
	id     string
	secret []byte
	edge   identity.EdgeKey
	verify *identity.Verifier
	open   *identity.Opener
	ring   identity.APIKey
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{secret: []byte(strings.Repeat("s", 32)), edge: identity.NewEdgeKey("eu-west-1/edge#1"), open: identity.NewOpener(nil)}
	keys, err := identity.ParseKeys(s.secret)
	if err != nil {
		t.Fatal(err)
	}
	s.verify, err = identity.NewVerifier(identity.Config{JWTs: []identity.JWT{{Name: "main", Issuer: "https://issuer.test", Audience: []string{"pets"}, Keys: keys}}})
	if err != nil {
		t.Fatal(err)
	}
	s.ring, s.key = identity.NewAPIKey("ann")
	s.id = s.ring.ID
	s.verify.SetKeys(identity.NewKeyRing([]identity.APIKey{s.ring}))
	s.open.SetKeys([]identity.EdgeKey{s.edge})
	s.open.SetRing(identity.NewKeyRing([]identity.APIKey{s.ring}))
	s.world = newWorld(t, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Verify, d.Open = s.verify, s.open })
	return s
}

func (s *secured) token(t *testing.T, scope string) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "https://issuer.test", "aud": "pets", "sub": "ann", "scope": scope, "exp": time.Now().Add(time.Hour).Unix(), "groups": []string{"a", "b"}, "n": 7}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(s.secret)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + signed
}

// seal is what the edge sends for a request of path as p.
func (s *secured) seal(p *identity.Principal, path string) []string {
	b := identity.Binding{Method: "GET", Host: "api.example.test:9443", Path: path, Query: "q=1", RequestID: "req-1"}
	return []string{"Meridian-Request", "req-1", "Meridian-Identity", identity.Seal(s.edge, p, b, time.Now())}
}

const (
	forbidden    = `{"message":"Forbidden"}`
	unauthorized = `{"message":"Unauthorized"}`
)

func TestAKeyOpensItsRouteAtBothDoors(t *testing.T) {
	s := newSecured(t)
	p := &identity.Principal{Kind: identity.KindAPIKey, ID: s.id, Name: "ann"}
	s.ask(s.public, "GET", "/private?q=1", "", "X-Api-Key", s.key).want(t, 200, "ok")
	s.ask(s.inner, "GET", "/private?q=1", "", "X-Api-Key", s.key).want(t, 200, "ok")
	a := s.ask(s.inner, "GET", "/private?q=1", "", s.seal(p, "/private")...)
	a.want(t, 200, "ok")
	a.header(t, "Apigw-Requestid", "req-1")
	if l := s.fns.event(t).RequestContext.Authorizer.Lambda; l["apiKeyId"] != s.id || l["apiKeyName"] != "ann" {
		t.Errorf("authorizer %v", l)
	}
	for _, door := range []struct{ extra []string }{{nil}, {[]string{"X-Api-Key", "junk"}}, {[]string{"Authorization", s.token(t, "read")}}} {
		s.ask(s.public, "GET", "/private", "", door.extra...).want(t, 403, forbidden)
		s.ask(s.inner, "GET", "/private", "", door.extra...).want(t, 403, forbidden)
	}
}

func TestAForgedOrMisplacedIdentityIsRefused(t *testing.T) {
	s := newSecured(t)
	p := &identity.Principal{Kind: identity.KindAPIKey, ID: s.id}
	good := s.seal(p, "/private")
	stale := identity.Seal(s.edge, p, identity.Binding{Method: "GET", Host: "api.example.test:9443", Path: "/private", Query: "q=1", RequestID: "req-1"}, time.Now().Add(-time.Hour))
	for name, extra := range map[string][]string{
		"forged":               {"Meridian-Identity", "eyJmb3JnZWQiOnRydWV9"},
		"of another path":      s.seal(p, "/both"),
		"of another request":   {"Meridian-Request", "req-2", "Meridian-Identity", good[3]},
		"stale":                {"Meridian-Request", "req-1", "Meridian-Identity", stale},
		"beside a good key":    {"Meridian-Identity", "forged", "X-Api-Key", s.key},
		"of an unknown edge":   {"Meridian-Request", "req-1", "Meridian-Identity", strings.Replace(good[3], "1.", "1.x", 1)},
		"of another byte more": {"Meridian-Request", "req-1", "Meridian-Identity", good[3] + "A"},
	} {
		a := s.ask(s.inner, "GET", "/private?q=1", "", extra...)
		if a.StatusCode != 401 || a.body != unauthorized {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	// A stranger's header is dropped, and the original credential decides.
	s.ask(s.public, "GET", "/private?q=1", "", good...).want(t, 403, forbidden)
	s.ask(s.public, "GET", "/private?q=1", "", "Meridian-Identity", "forged", "X-Api-Key", s.key).want(t, 200, "ok")
}

func TestARevokedKeyIsRefusedHoweverItComes(t *testing.T) {
	s := newSecured(t)
	sealed := s.seal(&identity.Principal{Kind: identity.KindAPIKey, ID: s.id}, "/private")
	s.ring.Revoked = true
	s.verify.SetKeys(identity.NewKeyRing([]identity.APIKey{s.ring}))
	s.open.SetRing(identity.NewKeyRing([]identity.APIKey{s.ring}))
	s.ask(s.public, "GET", "/private?q=1", "", "X-Api-Key", s.key).want(t, 403, forbidden)
	s.ask(s.inner, "GET", "/private?q=1", "", "X-Api-Key", s.key).want(t, 403, forbidden)
	s.ask(s.inner, "GET", "/private?q=1", "", sealed...).want(t, 401, unauthorized)
}

func TestATokenOpensItsRoute(t *testing.T) {
	s := newSecured(t)
	s.ask(s.public, "GET", "/me", "", "Authorization", s.token(t, "read write")).want(t, 200, "ok")
	j := s.fns.event(t).RequestContext.Authorizer.JWT
	if j == nil || j.Claims["sub"] != "ann" || j.Claims["groups"] != "[a b]" || j.Claims["n"] != "7" || strings.Join(j.Scopes, " ") != "read write" {
		t.Errorf("jwt authorizer %+v", j)
	}
	a := s.ask(s.public, "GET", "/me", "")
	a.want(t, 401, unauthorized)
	a.header(t, "Www-Authenticate", "Bearer")
	a = s.ask(s.public, "GET", "/me", "", "Authorization", s.token(t, "read")+"x")
	a.want(t, 401, unauthorized)
	if c := a.Header.Get("Www-Authenticate"); !strings.HasPrefix(c, `Bearer scope="" error="invalid_token" error_description="`) {
		t.Errorf("challenge %q", c)
	}
	s.ask(s.public, "GET", "/me", "", "Authorization", s.token(t, "write")).want(t, 403, forbidden)
	s.ask(s.public, "GET", "/both", "", "X-Api-Key", s.key).want(t, 200, "ok")
	// A key that is not asked for is the application's own, whatever it is.
	s.ask(s.public, "GET", "/me", "", "Authorization", s.token(t, "read"), "X-Api-Key", "the application's").want(t, 200, "ok")
}

func TestOpenRoutesJudgeNobody(t *testing.T) {
	s := newSecured(t)
	s.ask(s.public, "GET", "/pets", "", "X-Api-Key", "junk", "Authorization", "Token of the application").want(t, 200, "ok")
	if e := s.fns.event(t); e.RequestContext.Authorizer != nil || e.Headers["authorization"] != "Token of the application" {
		t.Errorf("event %+v", e)
	}
	s.ask(s.public, "GET", "/any", "").want(t, 200, "ok")
}

// Format 1.0 shows a key's id where REST APIs do.
func TestFormatOneShowsTheKey(t *testing.T) {
	s := newSecured(t)
	w := newWorld(t, s.fns, func(c *gateway.Config, d *gateway.Deps) {
		c.API = []byte(strings.Replace(api, "    x-amazon-apigateway-any-method:", "    x-amazon-apigateway-any-method:\n      security: [{key: []}]", 1))
		d.Verify = s.verify
	})
	w.ask(w.public, "GET", "/old/a/b", "", "X-Api-Key", s.key).want(t, 200, "ok")
	var e events.APIGatewayProxyRequest
	if err := json.Unmarshal(s.fns.last(t).Event, &e); err != nil {
		t.Fatal(err)
	}
	if e.RequestContext.Identity.APIKeyID != s.id || e.PathParameters["proxy"] != "a/b" || e.Resource != "/old/{proxy+}" {
		t.Errorf("event %+v", e)
	}
}

// Without a verifier nothing is any good: the route stays shut.
func TestNoVerifierMeansNobodyIsLetIn(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	w.ask(w.public, "GET", "/private", "", "X-Api-Key", "any").want(t, http.StatusForbidden, forbidden)
	w.ask(w.inner, "GET", "/private", "", "Meridian-Identity", "any").want(t, http.StatusUnauthorized, unauthorized)
}
