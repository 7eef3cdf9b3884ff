package articles

import (
	"strings"
	"testing"
)

func TestSlugsArePlainAndFitAnAddress(t *testing.T) {
	for title, want := range map[string]string{
		"How to train your dragon": "how-to-train-your-dragon",
		"  Don't -- panic! ":       "dont-panic",
		"C3PO & R2D2":              "c3po-r2d2",
		"café":                     "caf",
		"../../etc":                "etc",
		"日本":                       "",
		"":                         "",
	} {
		if got := plainSlug(title); got != want {
			t.Errorf("%q: %q, want %q", title, got, want)
		}
	}
	if got := plainSlug(strings.Repeat("word ", 100)); len(got) > slugMost {
		t.Errorf("a long title gives %d bytes", len(got))
	}
	for _, title := range []string{"Feed", "日本", "x"} {
		if s := newSlug(title); s.plain == "" || s.plain == "feed" || s.unique == "" || s.unique == newSlug(title).unique {
			t.Errorf("%q: %+v", title, s)
		}
	}
}

func FuzzPlainSlug(f *testing.F) {
	f.Add("How to train your dragon")
	f.Fuzz(func(t *testing.T, title string) {
		s := plainSlug(title)
		if len(s) > slugMost || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") {
			t.Errorf("%q gives %q", title, s)
		}
	})
}
