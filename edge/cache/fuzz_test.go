package cache

import (
	"net/http"
	"strconv"
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

// FuzzCombine stores parts of one body, in pieces of any size, one after another:
// what is made of them is always a part of it, of the place that it says, or all.
func FuzzCombine(f *testing.F) {
	f.Add([]byte("the body"), []byte{0, 3, 3, 5, 2, 1})
	f.Add([]byte("0123456789"), []byte{4, 9, 0, 5, 5, 10})
	f.Fuzz(func(t *testing.T, body, spans []byte) {
		size := int64(len(body))
		if size == 0 || size > 1<<10 {
			return
		}
		var have *object
		for ; len(spans) > 1; spans = spans[2:] {
			first := int64(spans[0]) % size
			r := span{first, first + 1 + int64(spans[1])%(size-first)}
			var chunks [][]byte
			for at := r.first; at < r.end; {
				n := min(1+int64(spans[1]>>4), r.end-at)
				chunks, at = append(chunks, body[at:at+n:at+n]), at+n
			}
			o := &object{status: http.StatusPartialContent, span: r, size: size, body: wholeStream(chunks, nil), header: http.Header{
				"Etag": {`"1"`}, "Content-Range": {contentRange(r, size)}, "Content-Length": {strconv.FormatInt(r.size(), 10)},
			}}
			if have == nil {
				have = o
			}
			was := have
			have = combine(have, o)
			at := have.span
			if have.status == http.StatusOK {
				at = span{0, size}
			}
			if at.first > r.first || at.end < r.end || have != o && was.status != http.StatusOK && (at.first > was.span.first || at.end < was.span.end) {
				t.Fatalf("%v and %v became %v", was.span, r, at)
			}
			var got []byte
			for _, c := range have.body.chunks {
				got = append(got, c...)
			}
			if string(got) != string(body[at.first:at.end]) {
				t.Fatalf("%v holds %q, not %q", at, got, body[at.first:at.end])
			}
			if part := have.header.Get("Content-Range"); have.status == http.StatusOK && part != "" || have.status != http.StatusOK && part != contentRange(at, size) {
				t.Fatalf("%d of %v says %q", have.status, at, part)
			}
			if n := have.header.Get("Content-Length"); n != strconv.Itoa(len(got)) {
				t.Fatalf("%d bytes say %s", len(got), n)
			}
		}
	})
}
