package cache

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzDirectives checks that no line hides a directive that stands before it, is
// read differently when it is cut into lines, or gives a time that is none.
func FuzzDirectives(f *testing.F) {
	f.Add("max-age=60, no-store")
	f.Add(`no-cache="a, b", x="\", no-store", private`)
	f.Fuzz(func(t *testing.T, s string) {
		d := parseDirectives([]string{"no-store", s})
		if !d.noStore {
			t.Error("no-store is lost")
		}
		for _, v := range []delta{d.maxAge, d.sMaxAge, d.whileRevalidate, d.ifError, d.maxStale, d.minFresh} {
			if v.d < 0 || v.d > maxDelta || v.bad && v.d != 0 {
				t.Errorf("%q: %+v", s, v)
			}
		}
		if !strings.ContainsAny(s, `"`) && parseDirectives(strings.Split(s, ",")).maxAge != parseDirectives([]string{s}).maxAge {
			t.Errorf("%q is read differently in lines", s)
		}
	})
}

// FuzzTargeted checks that a targeted field holds as a whole or not at all.
func FuzzTargeted(f *testing.F) {
	f.Add("max-age=60, no-store;x=1")
	f.Add(`max-age="60"`)
	f.Add("max-age=1;meridian, content=\"x\"")
	f.Fuzz(func(t *testing.T, s string) {
		for _, name := range []string{fieldTargeted, fieldSurrogate} {
			d, targeted := controls(http.Header{name: {s}, "Cache-Control": {"max-age=7"}})
			if !targeted && d.maxAge.d != 7e9 {
				t.Errorf("%s: %q is ignored, and Cache-Control too", name, s)
			}
			if d.maxAge.d < 0 || d.maxAge.d > maxDelta {
				t.Errorf("%s: %q: %v", name, s, d.maxAge)
			}
		}
	})
}

// FuzzRange checks that a range lies in what it is a range of.
func FuzzRange(f *testing.F) {
	f.Add("bytes=0-1", int64(10))
	f.Add("bytes=-5,3-", int64(3))
	f.Add("bytes 0-4/10", int64(0))
	f.Fuzz(func(t *testing.T, s string, size int64) {
		size = max(size, 0)
		if r, ok, none := parseRange(s, size); ok && !none && (r.first < 0 || r.end > size || r.size() <= 0) {
			t.Errorf("%q of %d: %v", s, size, r)
		}
		if rs, ok, none := parseRanges(s, size); ok && !none {
			for i, r := range rs {
				if r.first < 0 || r.end > size || r.size() <= 0 || len(rs) > maxParts {
					t.Errorf("%q of %d: %v", s, size, rs)
				}
				for _, other := range rs[:i] {
					if r.first <= other.end && other.first <= r.end {
						t.Errorf("%q of %d: %v touch", s, size, rs)
					}
				}
			}
		}
		if r, total, ok := parseContentRange(s); ok {
			if r.first < 0 || r.size() <= 0 || total >= 0 && r.end > total {
				t.Errorf("%q: %v of %d", s, r, total)
			}
			if total >= 0 {
				if back, n, ok := parseContentRange(contentRange(r, total)); !ok || back != r || n != total {
					t.Errorf("%q reads back as %v of %d", s, back, n)
				}
			}
		}
	})
}

// FuzzVary checks that a request selects what was stored for its like, and that
// a normal form is its own.
func FuzzVary(f *testing.F) {
	f.Add("Foo, Accept-Language", "a , b", "en;q=0.5, de")
	f.Add("*", `"a, b`, "")
	f.Fuzz(func(t *testing.T, vary, foo, language string) {
		q := http.Header{"Foo": {foo}, "Accept-Language": {language}}
		if s := selectorOf(http.Header{"Vary": {vary}}, q); !s.matches(q, "") {
			t.Errorf("Vary: %q: %v does not select itself", vary, q)
		}
		for name, v := range map[string]string{"Foo": foo, "Accept-Language": language} {
			once := normal(name, []string{v})
			if twice := normal(name, []string{once}); twice != once && !strings.Contains(v, `"`) {
				t.Errorf("%s: %q becomes %q, and that %q", name, v, once, twice)
			}
		}
	})
}

// FuzzGroups checks that tags stay within their bounds.
func FuzzGroups(f *testing.F) {
	f.Add(`"a", "b c"`, "x,y", "p q")
	f.Fuzz(func(t *testing.T, groups, tags, keys string) {
		got := tagsOf(http.Header{"Cache-Groups": {groups}, "Cache-Tag": {tags}, "Surrogate-Key": {keys}})
		if len(got) > maxTags {
			t.Errorf("%d tags", len(got))
		}
		for _, tag := range got {
			if tag == "" || len(tag) > maxTagLen || strings.ToLower(tag) != tag && strings.ToLower(strings.ToLower(tag)) != tag {
				t.Errorf("tag %q", tag)
			}
		}
	})
}
