package identity

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian"
)

func withKey(secret string) http.Header { return http.Header{HeaderAPIKey: {secret}} }

func TestAnAPIKeyIsKnownByItsHashAlone(t *testing.T) {
	k, secret := NewAPIKey("bar")
	if !regexp.MustCompile(`^[0-9A-Za-z]{40}$`).MatchString(secret) {
		t.Errorf("secret %q: want 40 letters and digits", secret)
	}
	raw := must(json.Marshal(k))
	var stored APIKey
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if d := cmp.Diff(k, stored); d != "" {
		t.Errorf("through the store (-made +read):\n%s", d)
	}
	v := verifier(t)
	v.SetKeys(NewKeyRing([]APIKey{stored}))
	p, err := v.Verify(withKey(secret))
	if d := cmp.Diff(&Principal{Kind: KindAPIKey, ID: k.ID, Name: "bar"}, p); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if strings.Contains(string(raw), secret) {
		t.Error("what is stored holds the secret")
	}
}

func TestAnUnknownOrRevokedAPIKeyIsForbidden(t *testing.T) {
	k, secret := NewAPIKey("bar")
	gone := k
	gone.Revoked = true
	for name, ring := range map[string]*KeyRing{"no ring": nil, "empty ring": NewKeyRing(nil), "revoked": NewKeyRing([]APIKey{gone})} {
		v := verifier(t)
		v.SetKeys(ring)
		if p, err := v.Verify(withKey(secret)); p != nil || meridian.KindOf(err) != meridian.Forbidden {
			t.Errorf("%s: %v, %v; want an error of kind Forbidden", name, p, err)
		}
	}
	// Negative control: the same key, not revoked, is let in.
	v := verifier(t)
	v.SetKeys(NewKeyRing([]APIKey{k}))
	if _, err := v.Verify(withKey(secret)); err != nil {
		t.Errorf("negative control: %v", err)
	}
	if p, err := v.Verify(withKey("")); p != nil || err != nil {
		t.Errorf("an empty header: %v, %v; want neither", p, err)
	}
}

func TestABadHashIsNotRead(t *testing.T) {
	for _, text := range []string{`"00"`, `"` + strings.Repeat("g0", 32) + `"`, `1`} {
		var h Hash
		if err := json.Unmarshal([]byte(text), &h); err == nil {
			t.Errorf("%s was read as %x", text, h)
		}
	}
}
