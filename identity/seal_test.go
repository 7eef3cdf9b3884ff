package identity

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian"
)

var (
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	edgeKey = EdgeKey{ID: "eu-west-1/edge#1", Secret: []byte("0123456789abcdef0123456789abcdef")}
	request = Binding{Method: "GET", Host: "api.example.test", Path: "/a%2Fb", Query: "x=1", RequestID: "r-1"}
	barKey  = &Principal{Kind: KindAPIKey, ID: "k1", Name: "bar"}
)

// opener returns an Opener of a region at noon that knows edgeKey.
func opener(at time.Time) *Opener {
	o := NewOpener(func() time.Time { return at })
	o.SetKeys([]EdgeKey{edgeKey})
	return o
}

func TestWhatAnEdgeSealsEveryRegionOpens(t *testing.T) {
	jwt := &Principal{
		Kind: KindJWT, ID: "u1", Name: "u1", Authorizer: "main", Scopes: []string{"read"},
		Claims:  map[string]any{"sub": "u1", "n": json.Number("9007199254740993"), "roles": []any{"a", "b"}},
		Expires: noon.Add(time.Hour), Also: barKey,
	}
	for _, p := range []*Principal{barKey, jwt} {
		got, err := opener(noon.Add(time.Second)).Open(Seal(edgeKey, p, request, noon), request)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, got); d != "" {
			t.Errorf("opened (-sealed +opened):\n%s", d)
		}
	}
	if s := Seal(edgeKey, nil, request, noon); s != "" {
		t.Errorf("nobody was sealed as %q", s)
	}
}

// attacks are sealed identities that must be refused, each with the guard that
// refuses it. With that guard off it is let in: the negative control.
var attacks = []struct {
	name  string
	guard guard
	try   func(o *Opener) (*Principal, error)
}{
	{"forged by someone without the key", withoutMAC, func(o *Opener) (*Principal, error) {
		thief := EdgeKey{ID: edgeKey.ID, Secret: []byte("a guess")}
		return o.Open(Seal(thief, barKey, request, noon), request)
	}},
	{"sealed for no request in particular", withoutBinding, func(o *Opener) (*Principal, error) {
		return o.Open(Seal(edgeKey, barKey, Binding{}, noon), request)
	}},
	{"sealed for another body", withoutBinding, func(o *Opener) (*Principal, error) {
		one, two := Binding{BodyHash: []byte("one")}, Binding{BodyHash: []byte("two")}
		return o.Open(Seal(edgeKey, barKey, one, noon), two)
	}},
	{"kept for a minute", withoutExpiry, func(o *Opener) (*Principal, error) {
		return o.Open(Seal(edgeKey, barKey, request, noon.Add(-sealLife)), request)
	}},
	{"made to last for an hour", withoutExpiry, func(o *Opener) (*Principal, error) {
		return o.Open(Seal(edgeKey, barKey, request, noon.Add(time.Hour)), request)
	}},
	{"sealed by an edge whose key was revoked", withoutEdgeRevocation, func(o *Opener) (*Principal, error) {
		gone := edgeKey
		gone.Revoked = true
		o.SetKeys([]EdgeKey{gone})
		return o.Open(Seal(edgeKey, barKey, request, noon), request)
	}},
	{"of an API key that was revoked since", withoutKeyRevocation, func(o *Opener) (*Principal, error) {
		o.SetRing(NewKeyRing([]APIKey{{ID: "k1", Revoked: true}}))
		return o.Open(Seal(edgeKey, barKey, request, noon), request)
	}},
	{"of a revoked API key beside a JWT", withoutKeyRevocation, func(o *Opener) (*Principal, error) {
		o.SetRing(NewKeyRing([]APIKey{{ID: "k1", Revoked: true}}))
		both := &Principal{Kind: KindJWT, ID: "u1", Also: barKey}
		return o.Open(Seal(edgeKey, both, request, noon), request)
	}},
}

func TestNoSealedIdentityIsBelievedThatShouldNotBe(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			if p, err := a.try(opener(noon)); p != nil || meridian.KindOf(err) != meridian.Unauthenticated {
				t.Errorf("Open = %v, %v; want an error of kind Unauthenticated", p, err)
			}
			o := opener(noon)
			o.off = a.guard
			if _, err := a.try(o); err != nil {
				t.Errorf("negative control: refused for another reason: %v", err)
			}
		})
	}
}

func TestASealedIdentityIsGoodForOneRequestOnly(t *testing.T) {
	body, other := sha256.Sum256([]byte("body")), sha256.Sum256([]byte("other"))
	request := request
	request.BodyHash = body[:]
	sealed := Seal(edgeKey, barKey, request, noon)
	for name, change := range map[string]func(*Binding){
		"method":     func(b *Binding) { b.Method = "POST" },
		"host":       func(b *Binding) { b.Host = "other.example.test" },
		"path":       func(b *Binding) { b.Path = "/a/b" },
		"query":      func(b *Binding) { b.Query = "x=2" },
		"request id": func(b *Binding) { b.RequestID = "r-2" },
		"body":       func(b *Binding) { b.BodyHash = other[:] },
		"a byte moved from one field to the next": func(b *Binding) { b.Path, b.Query = "/a%2Fbx", "=1" },
	} {
		b := request
		change(&b)
		if _, err := opener(noon).Open(sealed, b); err == nil {
			t.Errorf("%s: a sealed identity was moved to another request", name)
		}
	}
	unread := request
	unread.BodyHash = nil
	for name, b := range map[string]Binding{"the body": request, "the body not read yet": unread} {
		if _, err := opener(noon).Open(sealed, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := opener(noon).Open(Seal(edgeKey, barKey, unread, noon), request); err != nil {
		t.Errorf("a body that the edge streamed: %v", err)
	}
}

func TestASealedIdentityDoesNotOutliveItsToken(t *testing.T) {
	p := &Principal{Kind: KindJWT, ID: "u1", Expires: noon.Add(2 * time.Second)}
	sealed := Seal(edgeKey, p, request, noon)
	if _, err := opener(noon.Add(time.Second)).Open(sealed, request); err != nil {
		t.Error(err)
	}
	if _, err := opener(noon.Add(3*time.Second)).Open(sealed, request); err == nil {
		t.Error("it opened after the token's own expiry")
	}
}

func TestAnOpenerWithoutKeysOpensNothing(t *testing.T) {
	if _, err := NewOpener(nil).Open(Seal(edgeKey, barKey, request, time.Now()), request); err == nil {
		t.Error("opened")
	}
	nobody := EdgeKey{ID: "nobody"}
	if s := Seal(nobody, barKey, request, noon); s != "" {
		t.Errorf("a key without a secret sealed %q", s)
	}
	text := sealVersion + "." + b64.EncodeToString([]byte("nobody")) + ".e30"
	o := opener(noon)
	o.SetKeys([]EdgeKey{nobody})
	if _, err := o.Open(text+"."+b64.EncodeToString(mac(nil, text, request)), request); err == nil {
		t.Error("a key without a secret opened something")
	}
}

// FuzzOpen checks that of all texts only what was sealed opens.
func FuzzOpen(f *testing.F) {
	sealed := Seal(edgeKey, barKey, request, noon)
	f.Add(sealed)
	f.Add(strings.Replace(sealed, "1.", "2.", 1))
	f.Add(strings.TrimRight(sealed, "A"))
	f.Add("eyJmb3JnZWQiOnRydWV9")
	f.Add("1...")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := opener(noon).Open(text, request)
		if (p != nil || err == nil) && text != sealed {
			t.Errorf("%q opened as %+v, %v", text, p, err)
		}
		if err != nil && meridian.KindOf(err) != meridian.Unauthenticated {
			t.Errorf("kind %q", meridian.KindOf(err))
		}
		o := opener(noon)
		o.off = withoutMAC // what lies behind the MAC must not panic either
		_, _ = o.Open(text, request)
	})
}

func BenchmarkSealOpen(b *testing.B) {
	o := opener(noon)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Open(Seal(edgeKey, barKey, request, noon), request); err != nil {
			b.Fatal(err)
		}
	}
}
