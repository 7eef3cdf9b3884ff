package identity

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// leeway is how far an issuer's clock may be ahead of ours: for "nbf" and
// "iat". There is none for "exp" (RFC 7519, section 4.1.4 allows it, and does
// not ask for it).
const leeway = time.Minute

// judge says what is wrong with the claims of a token whose signature is good,
// or "" (RFC 7519, section 4.1). "exp" must be there.
func (j *JWT) judge(claims map[string]any, now time.Time) string {
	if iss, _ := claims["iss"].(string); iss != j.Issuer {
		return "the token does not have a valid issuer"
	}
	if !j.hears(claims) {
		return "the token does not have a valid audience"
	}
	exp, ok := seconds(claims["exp"])
	switch {
	case !ok:
		return "the token has no valid expiry"
	case !now.Before(exp):
		return "the token has expired"
	case !reached(claims, "nbf", now):
		return "the token is not valid yet"
	case !reached(claims, "iat", now):
		return "the token was issued in the future"
	}
	return ""
}

// hears reports whether the token is meant for this authorizer: by "aud", or
// by "client_id" if there is no "aud", as API Gateway has it.
func (j *JWT) hears(claims map[string]any) bool {
	if len(j.Audience) == 0 {
		return true
	}
	aud, ok := claims["aud"]
	if !ok {
		aud = claims["client_id"]
	}
	return slices.ContainsFunc(list(aud), func(a string) bool { return slices.Contains(j.Audience, a) })
}

// reached reports whether the time of a claim has come, or the claim is absent.
// One that is no time has not.
func reached(claims map[string]any, name string, now time.Time) bool {
	v, there := claims[name]
	if !there {
		return true
	}
	t, ok := seconds(v)
	return ok && !t.After(now.Add(leeway))
}

// seconds reads a NumericDate: RFC 7519, section 2. Dates past the year 9999
// are that year's end, since JSON cannot write the others.
func seconds(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 {
		return time.Time{}, false
	}
	const end = 253402300799
	whole, frac := math.Modf(min(f, end))
	return time.Unix(int64(whole), int64(frac*1e9)).UTC(), true
}

// scopes returns what "scope" (RFC 8693, section 4.2) or else "scp" lists.
func scopes(claims map[string]any) (out []string) {
	v, ok := claims["scope"]
	if !ok {
		v = claims["scp"]
	}
	for _, s := range list(v) {
		out = append(out, strings.Fields(s)...)
	}
	return out
}

// list returns the strings of a claim that is a string or a list of them.
func list(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
