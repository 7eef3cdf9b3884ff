package keyring_test

import (
	"strings"
	"testing"

	"meridian/internal/keyring"
)

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	first, second := keyring.NewLine(), keyring.NewLine()
	old, err := keyring.Parse("# of 2026\n\n" + first)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.Seal("here", []byte("secret"))
	if err != nil || strings.Contains(string(sealed.Box), "secret") {
		t.Fatal(sealed, err)
	}
	both, err := keyring.Parse(second + first)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := both.Open("here", sealed); string(text) != "secret" || err != nil || both.Newest(sealed) || !old.Newest(sealed) {
		t.Errorf("%q, %v", text, err)
	}
	for _, place := range []string{"", "there"} {
		if _, err := both.Open(place, sealed); err == nil {
			t.Errorf("it opens at %q", place)
		}
	}
	sealed.Box[len(sealed.Box)-1]++
	if _, err := both.Open("here", sealed); err == nil {
		t.Error("what was changed opens")
	}
	other, _ := keyring.Parse(second)
	if _, err := other.Open("here", sealed); err == nil || !strings.Contains(err.Error(), "which this node does not have") {
		t.Error(err)
	}
	if _, err := (keyring.Ring{}).Seal("here", nil); err == nil {
		t.Error("no key seals")
	}
}

func TestABadRingIsRefusedWithItsLine(t *testing.T) {
	good := keyring.NewLine()
	for text, want := range map[string]string{
		"":                             "found no key, want a line with an id and a key",
		good + "x":                     "line 2 has 1 words, want an id and a key",
		"a 00ff\n":                     "line 1: found a key that is not 64 hexadecimal digits",
		good + "\n" + good:             "stands twice, want each once",
		"a b c":                        "line 1 has 3 words, want an id and a key",
		"a " + strings.Repeat("x", 64): "line 1: found a key that is not 64 hexadecimal digits",
	} {
		if _, err := keyring.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want ... %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(keyring.NewLine())
	f.Add("# a\nb " + strings.Repeat("0", 64))
	f.Add("a 0")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := keyring.Parse(text)
		if (err == nil) == r.Empty() && err == nil {
			t.Error("an empty ring without an error")
		}
		if err != nil {
			return
		}
		s, err := r.Seal("p", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Open("p", s); err != nil || string(got) != "x" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
