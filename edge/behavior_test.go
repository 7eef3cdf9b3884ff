package edge

import (
	"fmt"
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
