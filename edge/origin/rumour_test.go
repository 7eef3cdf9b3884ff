package origin

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
)

// FuzzReadRumour checks that what is read is bounded and printable, and is
// written as it was read.
func FuzzReadRumour(f *testing.F) {
	f.Add([]byte(`{"region":"a","by":"silence","why":"is silent for 350ms"}`))
	f.Add([]byte(`{"region":"a","by":"gossip"}`))
	f.Add([]byte(`{"region":"a","by":"word","why":"\u0000\u202e"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadRumour(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(m.Why) > 4*maxRumour || strings.ContainsFunc(m.Why, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q", m.Why)
		}
		if len(m.Region) > maxRumour/8 {
			return
		}
		var w bytes.Buffer
		if err := WriteRumour(&w, m); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadRumour(&w); err != nil || again.Region != m.Region || again.By != m.By {
			t.Fatalf("%+v was written, and read as %+v: %v", m, again, err)
		}
	})
}
