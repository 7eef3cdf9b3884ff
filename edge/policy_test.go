package edge

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/edge/cache"
)

func TestAPolicySaysWhatIsSent(t *testing.T) {
	in := func() http.Header {
		return http.Header{
			"Host": {"x"}, "Accept": {"a"}, "Authorization": {"Bearer t"}, "X-Api-Key": {"k"}, "Origin": {"o"},
			"Cookie": {"a=1; b=2;c=3", "b=4"}, "Content-Type": {"text/plain"}, "If-None-Match": {`"e"`},
		}
	}
	const query = "a=1&b=2&&%63=3&b=4"
	for name, tt := range map[string]struct {
		p      RequestPolicy
		header http.Header
		query  string
	}{
		"default": {RequestPolicy{}, in(), query},
		"without credentials": {strangers, http.Header{
			"Accept": {"a"}, "Origin": {"o"}, "Content-Type": {"text/plain"}, "If-None-Match": {`"e"`}}, query},
		"one header": {RequestPolicy{Name: "p", Headers: allow("Origin")}, http.Header{
			"Origin": {"o"}, "Content-Type": {"text/plain"}, "If-None-Match": {`"e"`}}, ""},
		"some": {RequestPolicy{Headers: allow("Accept"), Cookies: allow("b", "c"), Query: allow("c", "a")}, http.Header{
			"Accept": {"a"}, "Cookie": {"b=2; c=3", "b=4"}, "Content-Type": {"text/plain"}, "If-None-Match": {`"e"`}}, "a=1&%63=3"},
		"all but some": {RequestPolicy{Headers: allExcept("Host", "Authorization", "X-Api-Key", "Origin"), Cookies: allExcept("b"), Query: allExcept("b")}, http.Header{
			"Accept": {"a"}, "Cookie": {"a=1; c=3"}, "Content-Type": {"text/plain"}, "If-None-Match": {`"e"`}}, "a=1&%63=3"},
		"names as patterns": {RequestPolicy{Name: "p", Headers: allow("Accept"), Cookies: cache.Selection{Mode: cache.Allow, Names: []string{"c"}, Wild: []string{"b*", "??"}}}, http.Header{
			"Accept": {"a"}, "Cookie": {"b=2; c=3", "b=4"}, "Content-Type": {"text/plain"}, "If-None-Match": {`"e"`}}, ""},
		"all but a pattern": {RequestPolicy{Name: "p", Cookies: cache.Selection{Mode: cache.AllExcept, Wild: []string{"?"}}}, http.Header{
			"Content-Type": {"text/plain"}, "If-None-Match": {`"e"`}}, ""},
	} {
		h := in()
		tt.p.filter(h)
		if diff := cmp.Diff(tt.header, h); diff != "" {
			t.Errorf("%s: (- want, + got)\n%s", name, diff)
		}
		if got := tt.p.query(query); got != tt.query {
			t.Errorf("%s: query %s, want %s", name, got, tt.query)
		}
	}
}

func allow(names ...string) cache.Selection {
	return cache.Selection{Mode: cache.Allow, Names: names}
}

// FuzzRequestPolicy wants no more sent than was there, in its order.
func FuzzRequestPolicy(f *testing.F) {
	f.Add("a=1; b=2", "a=1&b=%62&c", "a")
	f.Fuzz(func(t *testing.T, cookie, query, name string) {
		for _, mode := range []cache.Mode{cache.None, cache.All, cache.Allow, cache.AllExcept} {
			s := cache.Selection{Mode: mode, Names: []string{name}}
			p := RequestPolicy{Name: "p", Headers: s, Cookies: s, Query: s}
			h := http.Header{"Cookie": {cookie}}
			p.filter(h)
			q := p.query(query)
			if len(h.Get("Cookie")) > len(cookie)*2+2 || len(q) > len(query) || p.query(q) != q {
				t.Errorf("%s: %q of %q, %q of %q", mode, h.Get("Cookie"), cookie, q, query)
			}
		}
	})
}
