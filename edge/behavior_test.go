package edge

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestTheFirstPatternThatMatchesDecides(t *testing.T) {
	bs := []Behavior{{Path: "/articles/feed"}, {Path: "/articles*"}, {Path: "images/*.jpg"}, {Path: "/v?/tags"}, {Path: "*.css"}}
	for path, want := range map[string]string{
		"/articles/feed":       "/articles/feed",
		"/articles":            "/articles*",
		"/articles/feed/":      "/articles*",
		"/Articles":            "*", // case counts
		"/images/a/b.jpg":      "images/*.jpg",
		"/images/.jpg":         "images/*.jpg",
		"/images/a.jpeg":       "*",
		"/v1/tags":             "/v?/tags",
		"/v/tags":              "*",
		"/v10/tags":            "*",
		"/a/b.css":             "*.css",
		"/":                    "*",
		"*":                    "*", // OPTIONS *
		"/%61rticles":          "/articles*",
		"/x/../articles/feed":  "/articles/feed",
		"/x/%2e%2E/articles/a": "/articles*",
		"/articles/../x":       "*",
		"/articles%2F..%2Fx":   "/articles*", // an escaped / is none
		"/./articles/./feed":   "/articles/feed",
		"/../../articles":      "/articles*",
	} {
		m := MatchPath(bs, path)
		if m.Path != want || m.Why == "" {
			t.Errorf("%s: %s (%s), want %s", path, m.Path, m.Why, want)
		}
	}
}

func TestDotSegmentsAreRemovedAsRFC3986Says(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b/c/./../../g": "/a/g", "/a/..": "/", "/a/.": "/a/", "/..": "/", "/.": "/", "/a/./": "/a/", "//a/../b": "//b", "/a//../b": "/a/b",
		"/...": "/...", "/.a": "/.a", "/a%2e": "/a.", "/%7Ea%3a": "/~a%3A", "/a%": "/a%25", "/a%4": "/a%254", "/%zz": "/%25zz",
	} {
		if got := normalPath(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// FuzzGlob compares with a regular expression that says the same.
func FuzzGlob(f *testing.F) {
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
		if got := Glob(pattern, path); got != want {
			t.Errorf("Glob(%q, %q) = %t", pattern, path, got)
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

// FuzzMatchPath wants one behaviour for all spellings of a path: normalizing
// twice is normalizing once, and leaves no dot segment.
func FuzzMatchPath(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e/a", "/%25%32%65/..", "/a/%2E/", "//..//."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		once := normalPath(path)
		if !strings.HasPrefix(path, "/") {
			return
		}
		if twice := normalPath(once); twice != once {
			t.Errorf("%q: %q, then %q", path, once, twice)
		}
		for s := range strings.SplitSeq(once, "/") {
			if s == "." || s == ".." || !strings.HasPrefix(once, "/") {
				t.Errorf("%q: %q", path, once)
			}
		}
	})
}

func BenchmarkMatchPath(b *testing.B) {
	var bs []Behavior
	for i := range 25 {
		bs = append(bs, Behavior{Path: fmt.Sprintf("/service%d/*", i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		MatchPath(bs, "/service24/articles/1")
	}
}
