package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A JWT is an authorizer: whose tokens are accepted, and what they must say.
type JWT struct {
	Name       string   // as the API description names it
	Issuer     string   // what "iss" must be; it also says whose token it is
	Audience   []string // one of them must be in "aud", or be "client_id"; empty: not checked
	Algorithms []string // which of RS256, ES256, EdDSA, HS256; empty: those of the keys
	Keys       []Key    // from ParseKeys
}

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 16 << 10

// check says what is wrong with an authorizer, before it is used.
func (j *JWT) check() error {
	switch {
	case j.Issuer == "":
		return errors.New("no issuer")
	case len(j.Keys) == 0:
		return errors.New("no keys")
	}
	for _, a := range j.Algorithms {
		if !slices.Contains([]string{RS256, ES256, EdDSA, HS256}, a) {
			return fmt.Errorf("algorithm %.20q: want RS256, ES256, EdDSA or HS256", a)
		}
		if !slices.ContainsFunc(j.Keys, func(k Key) bool { return k.alg == a }) {
			return fmt.Errorf("algorithm %s: no key is of its type", a)
		}
	}
	return nil
}

// allows reports whether the authorizer accepts signatures of alg at all.
func (j *JWT) allows(alg string) bool {
	return len(j.Algorithms) == 0 || slices.Contains(j.Algorithms, alg)
}

// candidates returns the keys that may have signed a token with this header.
// A key without an id may have signed any token; a token without one may be
// signed by any key.
func (j *JWT) candidates(alg, kid string) (set jwt.VerificationKeySet) {
	for _, k := range j.Keys {
		if k.alg == alg && j.allows(alg) && (kid == "" || k.ID == "" || k.ID == kid) {
			set.Keys = append(set.Keys, k.key)
		}
	}
	return set
}

// verify returns the principal of a token, or an error of kind Unauthenticated
// with a Description.
func (j *JWT) verify(token string, now time.Time) (*Principal, error) {
	parser := jwt.NewParser(jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation(),
		jwt.WithValidMethods([]string{RS256, ES256, EdDSA, HS256}))
	claims := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errCritical
		}
		kid, _ := t.Header["kid"].(string)
		set := j.candidates(t.Method.Alg(), kid)
		if len(set.Keys) == 0 {
			return nil, errNoKey
		}
		return set, nil
	})
	switch {
	case errors.Is(err, errCritical):
		return nil, unauthenticated("the token needs an extension that is not supported")
	case errors.Is(err, errNoKey):
		return nil, unauthenticated("no key of the issuer fits the token")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, unauthenticated("the token is malformed")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return nil, unauthenticated("the token's algorithm is not allowed")
	case err != nil:
		return nil, unauthenticated("the token's signature is invalid")
	}
	if why := j.judge(claims, now); why != "" {
		return nil, unauthenticated(why)
	}
	sub, _ := claims["sub"].(string)
	exp, _ := seconds(claims["exp"])
	return &Principal{Kind: KindJWT, ID: sub, Name: sub, Authorizer: j.Name, Claims: claims, Scopes: scopes(claims), Expires: exp}, nil
}

var (
	// errCritical: RFC 7515, section 4.1.11. Meridian understands no extension.
	errCritical = errors.New("the header has crit")
	errNoKey    = errors.New("no key fits")
)

// issuer returns the unverified "iss" of a token, which serves only to find
// the authorizer to verify it with, or "" if it is no JWT.
func issuer(token string) string {
	_, rest, ok1 := strings.Cut(token, ".")
	payload, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || len(token) > maxToken || strings.Contains(sig, ".") {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var c struct {
		Iss string `json:"iss"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return ""
	}
	return c.Iss
}
