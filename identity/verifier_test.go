package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"meridian"
)

const theIssuer = "https://issuer.example.test/"

var secret32 = []byte("a secret of thirty-two bytes, 00")

// signers are one private key for each algorithm.
var signers = map[string]crypto.PrivateKey{
	RS256: must(rsa.GenerateKey(rand.Reader, 2048)),
	ES256: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
	EdDSA: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
	HS256: secret32,
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// file returns the key file for an algorithm, as an operator would have it.
func file(alg string) []byte {
	if s, ok := signers[alg].(crypto.Signer); ok {
		der := must(x509.MarshalPKIXPublicKey(s.Public()))
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return append(secret32, '\n')
}

// good returns claims that the authorizer of verifier accepts at noon, with
// changes; nil takes a claim away.
func good(changes map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{"iss": theIssuer, "aud": "api", "sub": "u1", "exp": noon.Add(time.Hour).Unix(), "scope": "read write"}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign signs claims with the algorithm's own key.
func sign(alg string, header map[string]any, claims jwt.MapClaims) string {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	maps.Copy(t.Header, header)
	return must(t.SignedString(signers[alg]))
}

func verifier(t testing.TB, keys ...Key) *Verifier {
	t.Helper()
	if keys == nil {
		for _, alg := range []string{RS256, ES256, EdDSA, HS256} {
			keys = append(keys, must(ParseKeys(file(alg)))...)
		}
	}
	v, err := NewVerifier(Config{
		JWTs: []JWT{{Name: "main", Issuer: theIssuer, Audience: []string{"api", "other"}, Keys: keys}},
		Now:  func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// graft puts the signature of one token on what another says.
func graft(says, signature string) string {
	return says[:strings.LastIndex(says, ".")] + signature[strings.LastIndex(signature, "."):]
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestEachAlgorithmIsVerified(t *testing.T) {
	for alg := range signers {
		p, err := verifier(t).Verify(bearer(sign(alg, nil, good(nil))))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		want := &Principal{
			Kind: KindJWT, ID: "u1", Name: "u1", Authorizer: "main", Scopes: []string{"read", "write"}, Expires: noon.Add(time.Hour),
			Claims: map[string]any{"iss": theIssuer, "aud": "api", "sub": "u1", "exp": json.Number(fmt.Sprint(noon.Add(time.Hour).Unix())), "scope": "read write"},
		}
		if d := cmp.Diff(want, p); d != "" {
			t.Errorf("%s (-want +got):\n%s", alg, d)
		}
	}
}

func TestABadTokenIsRefusedWithTheReason(t *testing.T) {
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for _, tt := range []struct {
		why   string
		token string
	}{
		{"the token has expired", sign(HS256, nil, good(map[string]any{"exp": unix(0)}))},
		{"the token has no valid expiry", sign(HS256, nil, good(map[string]any{"exp": nil}))},
		{"the token has no valid expiry", sign(HS256, nil, good(map[string]any{"exp": "tomorrow"}))},
		{"the token has no valid expiry", sign(HS256, nil, good(map[string]any{"exp": -1}))},
		{"the token is not valid yet", sign(HS256, nil, good(map[string]any{"nbf": unix(leeway + time.Second)}))},
		{"the token is not valid yet", sign(HS256, nil, good(map[string]any{"nbf": "now"}))},
		{"the token was issued in the future", sign(HS256, nil, good(map[string]any{"iat": unix(leeway + time.Second)}))},
		{"the token does not have a valid audience", sign(HS256, nil, good(map[string]any{"aud": "elsewhere"}))},
		{"the token does not have a valid audience", sign(HS256, nil, good(map[string]any{"aud": nil}))},
		{"the token does not have a valid audience", sign(HS256, nil, good(map[string]any{"aud": "elsewhere", "client_id": "api"}))},
		{"the token's signature is invalid", graft(sign(HS256, nil, good(map[string]any{"sub": "root"})), sign(HS256, nil, good(nil)))},
		{"the token's signature is invalid", sign(HS256, nil, good(nil)) + "AAAA"},
		{"the token's signature is invalid", must(jwt.NewWithClaims(jwt.SigningMethodNone, good(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType))},
		{"the token's signature is invalid", must(jwt.NewWithClaims(jwt.SigningMethodHS512, good(nil)).SignedString(secret32))},
		{"the token needs an extension that is not supported", sign(HS256, map[string]any{"crit": []string{"b64"}, "b64": false}, good(nil))},
	} {
		p, err := verifier(t).Verify(bearer(tt.token))
		if p != nil || meridian.KindOf(err) != meridian.Unauthenticated || Description(err) != tt.why {
			t.Errorf("Verify = %v, %v (%s); want %q", p, err, meridian.KindOf(err), tt.why)
		}
		want := `Bearer scope="" error="invalid_token" error_description="` + tt.why + `"`
		if c := Challenge(err); c != want {
			t.Errorf("Challenge = %s", c)
		}
	}
	if c := Challenge(nil); c != "Bearer" {
		t.Errorf("Challenge(nil) = %s", c)
	}
}

func TestATokenThatIsStillGoodIsAccepted(t *testing.T) {
	for name, changes := range map[string]map[string]any{
		"one of several audiences":          {"aud": []string{"nobody", "other"}},
		"client_id instead of aud":          {"aud": nil, "client_id": "api"},
		"an issuer's clock that is ahead":   {"nbf": noon.Add(leeway).Unix(), "iat": noon.Add(leeway).Unix()},
		"the last second":                   {"exp": noon.Add(time.Second).Unix()},
		"an expiry with a fraction":         {"exp": float64(noon.Unix()) + 0.5},
		"an expiry beyond all calendars":    {"exp": 1e18},
		"scp, a list":                       {"scope": nil, "scp": []string{"read"}},
		"claims that are none of our names": {"deep": map[string]any{"a": []any{1, "b", nil}}},
	} {
		if _, err := verifier(t).Verify(bearer(sign(HS256, nil, good(changes)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAKeyVerifiesNoAlgorithmButItsOwn is RFC 8725, section 2.1: a public key
// is no HMAC secret, whatever the token's header says.
func TestAKeyVerifiesNoAlgorithmButItsOwn(t *testing.T) {
	public := file(RS256)
	forged := must(jwt.NewWithClaims(jwt.SigningMethodHS256, good(nil)).SignedString(public))
	p, err := verifier(t, must(ParseKeys(public))...).Verify(bearer(forged))
	if p != nil || meridian.KindOf(err) != meridian.Unauthenticated {
		t.Errorf("a public key served as a secret: %v, %v", p, err)
	}
	// Negative control: with the key's type not fixing the algorithm, it does.
	if _, err := verifier(t, Key{alg: HS256, key: public}).Verify(bearer(forged)); err != nil {
		t.Errorf("negative control: refused for another reason: %v", err)
	}
}

func TestAnAuthorizerMayAllowFewerAlgorithmsThanItsKeys(t *testing.T) {
	keys := append(must(ParseKeys(file(RS256))), must(ParseKeys(file(HS256)))...)
	v := must(NewVerifier(Config{JWTs: []JWT{{Issuer: theIssuer, Algorithms: []string{RS256}, Keys: keys}}, Now: func() time.Time { return noon }}))
	if _, err := v.Verify(bearer(sign(RS256, nil, good(nil)))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(bearer(sign(HS256, nil, good(nil)))); Description(err) != "no key of the issuer fits the token" {
		t.Errorf("HS256: %v", err)
	}
}

func TestCredentialsThatAreNotOursPassUnseen(t *testing.T) {
	v := verifier(t)
	for _, authorization := range []string{
		"", "Token " + sign(HS256, nil, good(nil)), "Basic dTpw", "Bearer", "Bearer opaque", "Bearer a.b.c", "Bearer e30.e30.", "a b c",
		"Bearer " + sign(HS256, nil, good(map[string]any{"iss": "https://somebody.else/"})),
		"Bearer " + sign(HS256, nil, good(map[string]any{"iss": nil})),
		"Bearer " + strings.Repeat("a", maxToken) + "." + strings.Repeat("a", maxToken) + ".",
	} {
		if p, err := v.Verify(http.Header{"Authorization": {authorization}}); p != nil || err != nil {
			t.Errorf("%.60q: %v, %v; want neither a principal nor an error", authorization, p, err)
		}
	}
}

func TestABareTokenAndAnySpellingOfBearerAreRead(t *testing.T) {
	token := sign(HS256, nil, good(nil))
	for _, a := range []string{token, "bearer " + token, "BEARER  " + token} {
		if p, err := verifier(t).Verify(http.Header{"Authorization": {a}}); p == nil || err != nil {
			t.Errorf("%.12q: %v, %v", a, p, err)
		}
	}
}

func TestBothCredentialsOfARequestAreKept(t *testing.T) {
	k, secret := NewAPIKey("bar")
	v := verifier(t)
	v.SetKeys(NewKeyRing([]APIKey{k}))
	h := bearer(sign(HS256, nil, good(nil)))
	h.Set(HeaderAPIKey, secret)
	for range 2 { // the second time from the cache
		p, err := v.Verify(h)
		if err != nil || p.Of(KindJWT).ID != "u1" || p.Of(KindAPIKey).ID != k.ID {
			t.Fatalf("Verify = %+v, %v", p, err)
		}
	}
	h.Del(HeaderAPIKey)
	if p, _ := v.Verify(h); p.Of(KindAPIKey) != nil {
		t.Error("the cache gave a token the key that once came with it")
	}
	h.Set(HeaderAPIKey, "wrong")
	if p, err := v.Verify(h); p != nil || meridian.KindOf(err) != meridian.Forbidden {
		t.Errorf("a wrong key beside a good token: %v, %v", p, err)
	}
}

func TestAVerifiedTokenIsRememberedUntilItExpires(t *testing.T) {
	now := noon
	v := verifier(t)
	v.now = func() time.Time { return now }
	token := sign(RS256, nil, good(nil))
	first, err := v.Verify(bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Verify(bearer(token)); again != first {
		t.Error("it was verified twice")
	}
	now = noon.Add(time.Hour)
	if _, err := v.Verify(bearer(token)); Description(err) != "the token has expired" {
		t.Errorf("at its expiry: %v", err)
	}
}

func TestTheCacheIsBoundedAndKeepsWhatIsInUse(t *testing.T) {
	c := newCache(10)
	p := &Principal{Expires: noon.Add(time.Hour)}
	c.put("in use", p)
	for i := range 1000 {
		c.put(fmt.Sprint(i), p)
		if c.get("in use", noon) == nil {
			t.Fatalf("forgotten after %d others", i)
		}
		if n := len(c.young) + len(c.old); n > 10 {
			t.Fatalf("%d entries", n)
		}
	}
	if c.get("0", noon) != nil {
		t.Error("an unused entry stayed")
	}
}

func TestABadAuthorizerIsRefusedWhenItIsBuilt(t *testing.T) {
	keys := must(ParseKeys(secret32))
	for want, jwts := range map[string][]JWT{
		`authorizer "a": no issuer`: {{Name: "a", Keys: keys}},
		`authorizer "a": no keys`:   {{Name: "a", Issuer: "i"}},
		`authorizer "a": algorithm "none": want RS256, ES256, EdDSA or HS256`:                 {{Name: "a", Issuer: "i", Keys: keys, Algorithms: []string{"none"}}},
		`authorizer "a": algorithm RS256: no key is of its type`:                              {{Name: "a", Issuer: "i", Keys: keys, Algorithms: []string{RS256}}},
		`authorizers "a" and "b" have the same issuer "i": make them one with both audiences`: {{Name: "a", Issuer: "i", Keys: keys}, {Name: "b", Issuer: "i", Keys: keys}},
	} {
		if _, err := NewVerifier(Config{JWTs: jwts}); err == nil || err.Error() != want {
			t.Errorf("NewVerifier = %v\nwant %s", err, want)
		}
	}
}

// FuzzVerify checks that no Authorization header panics, and that none but the
// signed token makes a principal.
func FuzzVerify(f *testing.F) {
	token := sign(HS256, map[string]any{"kid": "k"}, good(nil))
	v := verifier(f, must(ParseKeys(secret32))...)
	f.Add("Bearer " + token)
	f.Add("Bearer " + must(jwt.NewWithClaims(jwt.SigningMethodNone, good(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)))
	f.Add("Bearer e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+theIssuer+`"}`)) + ".")
	f.Fuzz(func(t *testing.T, authorization string) {
		p, err := v.Verify(http.Header{"Authorization": {authorization}})
		if p != nil && !strings.Contains(authorization, token) {
			t.Errorf("%q is %+v", authorization, p)
		}
		if err != nil && (p != nil || meridian.KindOf(err) != meridian.Unauthenticated) {
			t.Errorf("%q: %v, %v", authorization, p, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for alg := range signers {
		h := bearer(sign(alg, nil, good(nil)))
		for _, size := range []string{"first", "again"} {
			b.Run(alg+"/"+size, func(b *testing.B) {
				v := verifier(b)
				b.ReportAllocs()
				for b.Loop() {
					if size == "first" {
						v.seen = newCache(1)
					}
					if _, err := v.Verify(h); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
