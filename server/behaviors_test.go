package server

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"meridian/config"
	"meridian/edge"
	"meridian/edge/cache"
)

// fileOf reads a file whose API is a file of that folder.
func fileOf(t *testing.T, dir, text string) *config.File {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse("meridian.yaml", dir, []byte("domain: api.example.test\nregions: {us-east-1: {primary: true}}\napi: openapi.yaml\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheFilesBehaviorsAreTheEdges(t *testing.T) {
	f := fileOf(t, t.TempDir(), `
behaviors:
  - {path: /a, methods: [GET]}
  - {path: /b, origin: assets, originRequest: CORS-CustomOrigin}
  - {path: /c, originRequest: mine}
  - {path: /d, originRequest: {query: {allExcept: [a]}, cookies: [sid, "wordpress_*"]}}
  - {path: /e, cache: UseOriginCacheControlHeaders}
  - {path: /f, cache: {defaultTTL: 1m, cookies: {allExcept: ["_ga*", "id?"]}, errorTTL: {404: 10s}, staleIfError: 1h, encodings: [gzip]}}
  - {path: /g, responseHeaders: {set: {x-frame-options: DENY}, remove: [server], cors: {allowOrigins: ["*"], maxAge: 1m, override: true}, serverTiming: 0.5}}
  - {path: /h, compress: false, errors: {404: {page: /missing.html, status: 200}, 503: {page: /sorry.html}}}
origins: {assets: {url: "http://assets.example.test"}}
originRequestPolicies: {mine: {headers: [accept, x-API-key], cookies: none}}
`)
	all := cache.Selection{Mode: cache.All}
	want := []edge.Behavior{
		{Path: "/a", Methods: []string{"GET"}},
		{Path: "/b", Origin: "assets", Request: edge.RequestPolicy{Name: "CORS-CustomOrigin",
			Headers: cache.Selection{Mode: cache.Allow, Names: []string{"Origin"}}, Cookies: cache.Selection{Mode: cache.None}, Query: cache.Selection{Mode: cache.None}}},
		{Path: "/c", Request: edge.RequestPolicy{Name: "mine",
			Headers: cache.Selection{Mode: cache.Allow, Names: []string{"Accept", "X-Api-Key"}}, Cookies: cache.Selection{Mode: cache.None}, Query: all}},
		{Path: "/d", Request: edge.RequestPolicy{Name: "of /d", Headers: all,
			Cookies: cache.Selection{Mode: cache.Allow, Names: []string{"sid"}, Wild: []string{"wordpress_*"}}, Query: cache.Selection{Mode: cache.AllExcept, Names: []string{"a"}}}},
	}
	want = append(want,
		edge.Behavior{Path: "/e", Encodings: []string{"br", "gzip"}, Cache: &cache.Policy{
			Name: "UseOriginCacheControlHeaders", MaxTTL: 365 * 24 * time.Hour, StaleIfUnreachable: time.Hour, ErrorTTL: map[int]time.Duration{},
			Headers: cache.Selection{Mode: cache.Allow, Names: []string{"Host", "Origin", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}},
			Cookies: all, Query: cache.Selection{Mode: cache.None}}},
		edge.Behavior{Path: "/f", Encodings: []string{"gzip"}, Cache: &cache.Policy{
			Name: "of /f", DefaultTTL: time.Minute, MaxTTL: 365 * 24 * time.Hour, StaleIfError: time.Hour, StaleIfUnreachable: time.Hour, ErrorTTL: map[int]time.Duration{404: 10 * time.Second},
			Headers: cache.Selection{Mode: cache.None}, Cookies: cache.Selection{Mode: cache.AllExcept, Wild: []string{"_ga*", "id?"}}, Query: all}})
	want = append(want, edge.Behavior{Path: "/g", Response: &edge.ResponsePolicy{
		Name: "of /g", Set: http.Header{"X-Frame-Options": {"DENY"}}, Default: http.Header{}, Remove: []string{"Server"},
		ServerTiming: new(0.5), CORS: &edge.CORS{Origins: []string{"*"}, MaxAge: time.Minute, Override: true}}})
	want = append(want, edge.Behavior{Path: "/h", Plain: true, Errors: map[int]edge.ErrorPage{404: {Path: "/missing.html", Status: 200}, 503: {Path: "/sorry.html"}}})
	if diff := cmp.Diff(want, behaviors(f, nil, nil), cmpopts.IgnoreUnexported(edge.RequestPolicy{}, edge.Guard{}, edge.Behavior{})); diff != "" {
		t.Errorf("(- want, + got)\n%s", diff)
	}
}

// The managed policies with CloudFront's headers of the viewer have them told, and
// no others; Amplify's has one in the key.
func TestManagedPoliciesTellOfTheViewer(t *testing.T) {
	got := behaviors(fileOf(t, t.TempDir(), `
behaviors:
  - {path: /a, originRequest: AllViewerAndCloudFrontHeaders-2022-06, viewer: [CloudFront-Viewer-JA4-Fingerprint]}
  - {path: /b, originRequest: AllViewer}
  - {path: /c, cache: Amplify}
`), nil, nil)
	want := slices.DeleteFunc(edge.ViewerHeaders(), func(name string) bool {
		return name == "Cloudfront-Viewer-Ja3-Fingerprint" || name == "Cloudfront-Viewer-Header-Count"
	})
	var told []string
	for _, name := range got[0].Viewer {
		told = append(told, http.CanonicalHeaderKey(name))
	}
	if slices.Sort(told); !slices.Equal(told, want) || got[0].Request.Headers.Mode != cache.All {
		t.Errorf("%v is told, want %v", told, want)
	}
	if got[1].Viewer != nil {
		t.Errorf("AllViewer: %v", got[1].Viewer)
	}
	if c := got[2].Cache; c.MinTTL != 2*time.Second || c.MaxTTL != 10*time.Minute || !c.Headers.Has("Cloudfront-Viewer-Country") || !c.Cookies.Has("x") {
		t.Errorf("Amplify: %+v", c)
	}
}

func TestWhatOriginsNeedIsReadFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const text = "secrets: {word: {file: word}}\norigins: {assets: {url: \"https://assets.example.test/p\", headers: {x-verify: {secret: word}, X-Plain: a}, ca: ca.pem}}\n"
	write("word", "s3cret\n")
	write("ca.pem", "no PEM")
	_, err := origins(fileOf(t, dir, text))
	if err == nil || !strings.HasPrefix(err.Error(), "meridian.yaml:5:111: origins.assets.ca: ") || !strings.Contains(err.Error(), "ca.pem has no certificate; expected a PEM file with certificates") {
		t.Errorf("%v", err)
	}
	os, err := origins(fileOf(t, dir, strings.Replace(text, ", ca: ca.pem", "", 1)))
	if err != nil || len(os) != 1 || os[0].Headers.Get("X-Verify") != "s3cret" || os[0].Headers.Get("X-Plain") != "a" || os[0].URL.Path != "/p" {
		t.Errorf("%+v %v", os, err)
	}
	write("word", "two\nlines")
	if _, err := origins(fileOf(t, dir, strings.Replace(text, ", ca: ca.pem", "", 1))); err == nil || !strings.Contains(err.Error(), "expected one line of text") {
		t.Errorf("%v", err)
	}
}
