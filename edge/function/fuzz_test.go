package function

import (
	"context"
	"errors"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// FuzzResult returns what JSON makes of any text from a function: it is refused
// by an *Error, or it is a request or a response that may stand on a wire.
func FuzzResult(f *testing.F) {
	for _, seed := range []string{
		`{"method":"GET","uri":"/a b?c","headers":{"x":{"value":"1"}},"querystring":{"a":{"value":"&"}},"cookies":{"a":{"value":"1","multiValue":[{"value":"2"}]}}}`,
		`{"statusCode":302,"headers":{"location":{"multiValue":[{"value":"/"}]}},"cookies":{"a":{"value":"1","attributes":"Secure"}},"body":{"encoding":"base64","data":"aGk="}}`,
		`{"statusCode":200.5}`, `{"uri":"x"}`, `[]`, `null`, `{"method":"GET","uri":"//","headers":{"via":{"value":"\n"}}}`, `{"statusCode":200,"headers":{"meridian-identity":{"value":"x"}}}`,
	} {
		f.Add(seed)
	}
	e := function(f, `function handler(event) { return JSON.parse(event.request.headers.x.value) }`)
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		out, err := e.Serve(context.Background(), "f", get("/", "X", text))
		if err != nil {
			if !errors.As(err, new(*Error)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		headers := map[string][]string{}
		switch {
		case out.Request != nil:
			headers = out.Request.Header
			if out.Request.Path == "" || out.Request.Path[0] != '/' || !onWire(out.Request.Path) || !onWire(out.Request.Query) {
				t.Errorf("target %q ? %q", out.Request.Path, out.Request.Query)
			}
		case out.Response != nil:
			headers = out.Response.Header
			if out.Response.Status < 200 || out.Response.Status > 599 {
				t.Errorf("status %d", out.Response.Status)
			}
		}
		for name, values := range headers {
			for _, value := range values {
				if same := name == "X" && value == text; !same && (!httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || internal(name)) {
					t.Errorf("%q: %q", name, value)
				}
			}
		}
	})
}

// onWire reports whether a text may stand in a request line.
func onWire(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return false
		}
	}
	return true
}

// FuzzSource loads any source: it compiles and has a handler, or New says why
// not; a run of it ends.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{
		"function handler(e) { return e.request }", "import cf from 'cloudfront'; function handler() {}", "exports.handler = async () => null", "for(;;);", "(", "export default 1",
		"function handler() { handler() }", "\x00", "//# sourceMappingURL=data:,x\nfunction handler() {}", "function handler() { return `\n`.repeat(1e9) }",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		e, err := New(Config{Functions: []Source{{Name: "f", File: "f.js", Code: []byte(source)}}}, Deps{})
		if err != nil {
			return
		}
		defer e.work.Wait()
		if _, err := e.Serve(context.Background(), "f", get("/")); err != nil && !errors.As(err, new(*Error)) {
			t.Fatalf("%T: %v", err, err)
		}
	})
}

// FuzzToken opens any bytes: they are refused, or are a token under the key.
func FuzzToken(f *testing.F) {
	key := []byte("s3cret")
	e := function(f, `import cf from 'cloudfront';
		function handler() {
			const t = { payload: { 1: 'iss', 4: 1740000000, 401: { 2: { 1: '/media/' } }, 7: Buffer.from('id') } };
			return { statusCode: 200, body: { encoding: 'base64', data: cf.cwt.generateToken(t, { coseTag: 'MAC0', cwtTag: true, key: 's3cret' }).toString('base64') } };
		}`)
	good := serve(f, e, get("/")).Response.Body
	f.Add(good)
	f.Add(good[2:])
	f.Add([]byte{0xd1, 0x84, 0x43, 0xa1, 1, 5, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		open, err := openToken(b, key)
		if err != nil {
			return
		}
		if _, err := openToken(b, []byte("guess")); err == nil {
			t.Errorf("%x is taken under any key", b)
		}
		if v := e.newVM(e.fns["f"]); open.shown(v) == nil {
			t.Errorf("%x cannot be shown", b)
		}
	})
}
