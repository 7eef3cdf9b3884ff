package meridian_test

import (
	"errors"
	"strings"
	"testing"

	"meridian"
)

var (
	first  = meridian.TokenKey{ID: "00000001", Secret: []byte("the first secret of this world")}
	second = meridian.TokenKey{ID: "00000002", Secret: []byte("the second secret of this world")}
	forger = meridian.TokenKey{ID: "00000001", Secret: []byte("a guess")}

	plain = meridian.Token{Database: "pets", System: 7, Timeline: 2, LSN: 0x30}
	wrote = meridian.Token{Database: "pets", System: 7, Timeline: 2, LSN: 0x30, Handle: "0af3", Wrote: 0x20}
)

func TestTokensAreReadAsWritten(t *testing.T) {
	ks := meridian.TokenKeys{first}
	for _, tok := range []meridian.Token{plain, wrote, ks.Seal(plain), ks.Seal(wrote)} {
		back, err := meridian.ParseToken(tok.String())
		if err != nil || back != tok {
			t.Errorf("%s: %+v, %v", tok, back, err)
		}
	}
	for _, bad := range []string{
		"", "pets", "pets:7:2", ":7:2:30", "pets:7:2:x", "pets:7:2:30:", "pets:7:2:30:20:", "pets:7:2:30:20:XY", "pets:7:2:30:g:0a",
		"pets:7:2:30:20:" + strings.Repeat("a", 33), "pets:7:2:30:abc", "pets:7:2:30:20:0a:abc", "pets:7:2:30:20:0a:" + strings.Repeat("a", 40) + ":",
	} {
		if tok, err := meridian.ParseToken(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, tok)
		}
	}
}

// TestOnlyGenuineTokensCount is the promise and its negative control: without
// keys each of these is believed.
func TestOnlyGenuineTokensCount(t *testing.T) {
	ks := meridian.TokenKeys{first}
	moved := ks.Seal(wrote)
	moved.LSN = 0xffff
	renamed := ks.Seal(wrote)
	renamed.Handle = "0af4"
	for what, tok := range map[string]meridian.Token{
		"no seal": wrote, "another's seal": meridian.TokenKeys{forger}.Seal(wrote), "a seal of another position": moved,
		"a seal of another write": renamed, "a key that there never was": meridian.TokenKeys{second}.Seal(wrote),
	} {
		if err := ks.Check(tok); !errors.Is(err, meridian.ErrSeal) {
			t.Errorf("%s: %v", what, err)
		}
		if err := (meridian.TokenKeys{}).Check(tok); err != nil {
			t.Errorf("control, %s: %v", what, err)
		}
		// A forged token does not hide the genuine one beside it.
		genuine := ks.Seal(plain)
		if ts, err := ks.Open(tok.String() + "," + genuine.String()); len(ts) != 1 || ts[0] != genuine || err == nil {
			t.Errorf("%s: %v, %v", what, ts, err)
		}
	}
}

func TestOldKeysKeepTheirReadersFloor(t *testing.T) {
	old := meridian.TokenKeys{first}.Seal(wrote)
	rotated := meridian.TokenKeys{second, first}
	if err := rotated.Check(old); err != nil {
		t.Error(err)
	}
	if fresh := rotated.Seal(old); fresh.Seal == old.Seal || fresh.Bare() != old.Bare() {
		t.Errorf("sealed again: %s, before %s", fresh, old)
	}
	if err := (meridian.TokenKeys{second}).Check(old); err == nil {
		t.Error("control: a key that is forgotten still counts")
	}
}

func TestTheLastWriteStaysWithThePosition(t *testing.T) {
	later := meridian.Token{Database: "pets", System: 7, Timeline: 2, LSN: 0x40}
	moved := meridian.Token{Database: "pets", System: 7, Timeline: 3, LSN: 0x10}
	want := later
	want.Handle, want.Wrote = wrote.Handle, wrote.Wrote
	for _, got := range []meridian.Token{wrote.Join(later), later.Join(wrote), want.Join(plain), plain.Join(want)} {
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got := wrote.Join(moved); got != moved {
		t.Errorf("over a promotion: %+v", got)
	}
	if got := (meridian.Token{}).Join(wrote); got != wrote || wrote.Join(meridian.Token{}) != wrote {
		t.Errorf("with nothing: %+v", got)
	}
}

func FuzzTokens(f *testing.F) {
	ks := meridian.TokenKeys{first}
	for _, s := range []string{"", ks.Seal(wrote).String(), wrote.String() + "," + plain.String(), "pets:7:2:30:20:0a", "a:0:0:0,a:0:1:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ts, _ := meridian.ParseTokens(s)
		back, err := meridian.ParseTokens(ts.String())
		if err != nil || back.String() != ts.String() {
			t.Errorf("%q is %s, and then %s, %v", s, ts, back, err)
		}
		genuine, _ := ks.Open(s)
		for _, tok := range genuine {
			if ks.Seal(tok) != tok {
				t.Errorf("%q: %s counts as genuine", s, tok)
			}
		}
	})
}
