package pathpattern

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestDotSegmentsAreRemovedAsRFC3986Says(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b/c/./../../g": "/a/g", "/a/..": "/", "/a/.": "/a/", "/..": "/", "/.": "/", "/a/./": "/a/", "//a/../b": "//b", "/a//../b": "/a/b",
		"/...": "/...", "/.a": "/.a", "/a%2e": "/a.", "/%7Ea%3a": "/~a%3A", "/a%": "/a%25", "/a%4": "/a%254", "/%zz": "/%25zz",
	} {
		if got := Normalize(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// FuzzMatch compares with a regular expression that says the same.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/a*|/abc", "a?c|/abc", "*|", "/*a*b*?|/xaybz", "/**|/", "?|//"} {
		p, path, _ := strings.Cut(s, "|")
		f.Add(p, path)
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 255 || len(path) > 1000 {
			return
		}
		var re strings.Builder
		for i := range len(Rooted(pattern)) {
			switch c := Rooted(pattern)[i]; c {
			case '*':
				re.WriteString(`[\x00-\xff]*`)
			case '?':
				re.WriteString(`[\x00-\xff]`)
			default:
				fmt.Fprintf(&re, `\x%02x`, c)
			}
		}
		// One character a byte, since the expression is of characters.
		want := regexp.MustCompile(`^(?:` + re.String() + `)$`).MatchString(latin(path))
		if got := Match(pattern, path); got != want {
			t.Errorf("Match(%q, %q) = %t", pattern, path, got)
		}
	})
}

func latin(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// FuzzNormalize wants one behaviour for all spellings of a path: normalizing
// twice is normalizing once, and leaves no dot segment.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e/a", "/%25%32%65/..", "/a/%2E/", "//..//."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		once := Normalize(path)
		if !strings.HasPrefix(path, "/") {
			return
		}
		if twice := Normalize(once); twice != once {
			t.Errorf("%q: %q, then %q", path, once, twice)
		}
		for s := range strings.SplitSeq(once, "/") {
			if s == "." || s == ".." || !strings.HasPrefix(once, "/") {
				t.Errorf("%q: %q", path, once)
			}
		}
	})
}

func TestAPatternCoversAnother(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"*", "/a", true}, {"/*", "*", false}, {"*", "*", true}, {"/a*", "a*", true}, {"/a*", "/ab?", true}, {"/a?", "/a*", false},
		{"*.jpg", "/images/*.jpg", true}, {"/images/*.jpg", "*.jpg", false}, {"/*?", "/?*", true}, {"/?*", "/*?", true}, {"/a*b*c", "/axbyc", true},
		{"/a*b*c", "/a?*b*bc", true}, {"/a*b", "/a*", false}, {"/??", "/?", false}, {"/**", "/*", true}, {"/a", "/?", false},
	} {
		if got := Covers(tt.a, tt.b); got != tt.want {
			t.Errorf("%s covers %s: %t", tt.a, tt.b, got)
		}
	}
}

// FuzzCovers looks for a path that the second pattern matches and the first,
// which covers it, does not.
func FuzzCovers(f *testing.F) {
	f.Add("/a*", "/a?b", "/axb")
	f.Add("*?x", "?*x", "//x")
	f.Fuzz(func(t *testing.T, a, b, path string) {
		if len(a) > 255 || len(b) > 255 || !Covers(a, b) {
			return
		}
		for _, p := range []string{path, strings.ReplaceAll(strings.ReplaceAll(Rooted(b), "*", path), "?", "/")} {
			if Match(b, p) && !Match(a, p) {
				t.Errorf("%q covers %q, but %q", a, b, p)
			}
		}
	})
}
