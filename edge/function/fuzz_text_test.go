package function

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// FuzzURL has the class URL read any text: it is refused by a TypeError, or is a
// URL that says the same when it is read again, and whose parts make it.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://u:p@a.test:8443/a/../b/./c?x=%2f&y= z#h", "//h/p", "/p?q#f", "?q", "#f", "", "http:a", `http:\\a\b`, "HTTP://A.TEST:80/%2e%2E/x", "mailto:a@b", "https://[::1]:1/",
		"https://a.test:99999/", "https://ä.test/ü?ö", "x:y:z", "https://a/\t\n b", "javascript:alert(1)", "https:///a", "https://a?b?c#d#e", "https://%41/", "\x00", "http://a@b@c/",
	} {
		f.Add(seed)
	}
	e := function(f, `function handler(event) {
		const text = JSON.parse(event.request.headers.x.value);
		require('url').parse(text, true);
		let u;
		try { u = new URL(text, 'https://base.test/a/b?c#d') } catch (e) {
			if (!(e instanceof TypeError)) throw e;
			return { statusCode: 400 };
		}
		u.searchParams.get('x');
		return { statusCode: 200, body: JSON.stringify([u.href, new URL(u.href).href, u.protocol + '//' + u.host, u.pathname, u.search, u.hash]) };
	}`, func(c *Config, _ *Deps) { c.Limits = patient })
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 1<<10 {
			return
		}
		quoted, _ := json.Marshal(text)
		out, err := e.Serve(context.Background(), "f", get("/", "X", string(quoted)))
		if errors.Is(err, errTime) {
			return // this machine was busy with something else
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if out.Response.Status == 400 {
			return
		}
		var p []string
		if err := json.Unmarshal(out.Response.Body, &p); err != nil {
			t.Fatal(err)
		}
		if p[0] != p[1] {
			t.Errorf("%q: %q, and read again %q", text, p[0], p[1])
		}
		for _, scheme := range []string{"http:", "https:"} {
			if !strings.HasPrefix(p[0], scheme+"//") {
				continue
			}
			if p[3] == "" || p[3][0] != '/' || !onWire(p[3]) || strings.Contains(p[3], "?") || !onWire(p[4]) {
				t.Errorf("%q: the path %q, the query %q", text, p[3], p[4])
			}
		}
	})
}

// FuzzQuery has a function look at any query: what it leaves passes byte for byte,
// what it writes anew has the same names and values, and so has what querystring
// makes of it.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"a=1&b=2&a=3", "a&b=&=c&&=", "%zz=%", "a=%41+b", "0=1&2=3&1=", "__proto__=1&constructor=2&toString", "a=b=c&;d", "%00=%ff", "a%3D=b%26"} {
		f.Add(seed)
	}
	e := function(f, `function handler(event) {
		const r = event.request, qs = require('querystring'), all = r.querystring;
		const once = qs.parse(r.headers['x-raw'] ? r.headers['x-raw'].value : ''), again = qs.parse(qs.stringify(once));
		if (JSON.stringify(once) !== JSON.stringify(again)) throw new Error(JSON.stringify(once) + ' ' + JSON.stringify(again));
		if (r.uri === '/anew') {
			r.querystring = {};
			for (const name of Object.keys(all)) r.querystring[name] = all[name].multiValue ? { multiValue: all[name].multiValue.map((m) => ({ value: m.value })) } : { value: all[name].value };
		}
		return r;
	}`, func(c *Config, _ *Deps) { c.Limits = patient })
	f.Fuzz(func(t *testing.T, query string) {
		if !onWire(query) || len(query) > 1<<10 || strings.Contains(query, "__proto__") { // what a script writes there is no property
			return
		}
		for _, path := range []string{"/", "/anew"} {
			ev := get(path+"?"+query, "X-Raw", query)
			out, err := e.Serve(context.Background(), "f", ev)
			if errors.Is(err, errTime) {
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", query, err)
			}
			if got := out.Request.Query; path == "/" && got != query {
				t.Errorf("%q became %q", query, got)
			}
			was, _ := parameters(query)
			now, _ := parameters(out.Request.Query)
			if !sameValues(now, was) {
				t.Errorf("%s: %q became %q: %v, %v", path, query, out.Request.Query, was, now)
			}
		}
	})
}

// FuzzCookies does the same with the cookies of a request.
func FuzzCookies(f *testing.F) {
	for _, seed := range []string{"a=1; b=2", "a=1;a=2", ";;=; =", "a", "__proto__=x; 1=2; 0=3", `a="b; c"`, "a=b=c", " a = b "} {
		f.Add(seed)
	}
	e := function(f, `function handler(event) {
		const r = event.request, all = r.cookies;
		r.cookies = {};
		for (const name of Object.keys(all)) r.cookies[name] = all[name];
		return r;
	}`, func(c *Config, _ *Deps) { c.Limits = patient })
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 1<<10 || strings.Contains(line, "__proto__") || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return
		}
		out, err := e.Serve(context.Background(), "f", get("/", "Cookie", line))
		switch {
		case errors.Is(err, errTime) || errors.As(err, new(invalid)):
			return
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		}
		if was, now := cookies([]string{line}), cookies(out.Request.Header["Cookie"]); !sameValues(now, was) {
			t.Errorf("%q became %q: %v, %v", line, out.Request.Header["Cookie"], was, now)
		}
	})
}

// sameValues compares by name: numbers come first among a script's properties.
func sameValues(a, b []many) bool {
	of := func(list []many) map[string][]string {
		out := map[string][]string{}
		for _, m := range list {
			out[m.name] = m.values
		}
		return out
	}
	return maps.EqualFunc(of(a), of(b), slices.Equal[[]string])
}

// FuzzBytes writes any bytes in each encoding, and reads them again; and reads any
// text as each.
func FuzzBytes(f *testing.F) {
	for _, seed := range []string{"", "a", "ab\xff\x00", "aGk=", "aGk", "a-_/+=x", "zz0", "\u00e9\U0001f600", "=====", "%41%"} {
		f.Add([]byte(seed))
	}
	v := (&engine{}).bare()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, enc := range []string{"hex", "base64", "base64url", "latin1"} {
			if got := v.bytesOf(v.text(b, enc), enc); !bytes.Equal(got, b) {
				t.Errorf("%s: %x became %x", enc, b, got)
			}
		}
		for enc := range encodings {
			v.bytesOf(string(b), encodings[enc])
		}
		if got, err := base64.StdEncoding.Strict().DecodeString(string(b)); err == nil && !slices.Contains(b, '\n') && !slices.Contains(b, '\r') && !bytes.Equal(got, anyBase64(string(b))) {
			t.Errorf("base64 %q: %x, want %x", b, anyBase64(string(b)), got)
		}
		if got, err := hex.DecodeString(string(b)); err == nil && !bytes.Equal(got, v.bytesOf(string(b), "hex")) {
			t.Errorf("hex %q: %x", b, v.bytesOf(string(b), "hex"))
		}
		if got := queryUnescape(queryEscape(string(b))); got != strings.ToValidUTF8(string(b), "�") {
			t.Errorf("%q, escaped and back: %q", b, got)
		}
		queryUnescape(string(b))
	})
}

// bare returns a runtime without a function.
func (e *engine) bare() *vm { return &vm{engine: e, rt: goja.New()} }
