package idempotency

import (
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		key   string // "" where fails is set, or there is none
		fails string
	}{
		{nil, "", ""},
		{[]string{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`}, "8e03978e-40d5-43dd-bc93-6894a57f9324", ""},
		{[]string{"8e03978e-40d5-43dd-bc93-6894a57f9324"}, "8e03978e-40d5-43dd-bc93-6894a57f9324", ""},
		{[]string{` "a b"; v=1 `}, "a b", ""},
		{[]string{`"a\"b\\"`}, `a"b\`, ""},
		{[]string{"KG5LxwFBepaKHyUD"}, "KG5LxwFBepaKHyUD", ""},
		{[]string{strings.Repeat("k", MaxKey)}, strings.Repeat("k", MaxKey), ""},
		{[]string{strings.Repeat("k", MaxKey+1)}, "", "256 characters"},
		{[]string{"a", "b"}, "", "2 lines"},
		{[]string{""}, "", "empty"},
		{[]string{`""`}, "", "empty"},
		{[]string{`"a`}, "", "quoted string"},
		{[]string{`"a" "b"`}, "", "quoted string"},
		{[]string{`a, b`}, "", "quoted string"},
		{[]string{`a b`}, "", "quoted string"},
		{[]string{"\x00"}, "", "quoted string"},
		{[]string{"schlüssel"}, "", "quoted string"},
	} {
		key, err := Key(tt.lines)
		if key != tt.key || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%q: %q, %v; want %q, an error with %q", tt.lines, key, err, tt.key, tt.fails)
		}
	}
}

// FuzzKey: a key that is taken is what it says it is, with quotes or without.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"", "a", `"a"`, `"a\"b"`, `"a";p`, `"a`, "a,b", "\x00", `"ä"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := Key([]string{s})
		if err != nil {
			return
		}
		if key == "" || len(key) > MaxKey {
			t.Errorf("%q: took %q", s, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := Key([]string{quoted}); again != key || err != nil {
			t.Errorf("%q: took %q, and of %q %q, %v", s, key, quoted, again, err)
		}
	})
}
