package function

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"hash"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dop251/goja"
	"github.com/google/uuid"
)

// provide returns the names that CloudFront's runtime has beside the language's,
// and the modules that require and import find.
func provide() (globals map[string]func(*vm) any, modules map[string]func(*vm) *goja.Object) {
	return map[string]func(*vm) any{
			"console":     (*vm).console,
			"Buffer":      func(v *vm) any { return v.bufferClass() },
			"atob":        func(v *vm) any { return v.atob },
			"btoa":        func(v *vm) any { return v.btoa },
			"TextEncoder": (*vm).textEncoder,
			"TextDecoder": (*vm).textDecoder,

			"process":         (*vm).environment,
			"crypto":          func(v *vm) any { return v.crypto() },
			"structuredClone": func(v *vm) any { return v.node("clone") },
			"queueMicrotask":  func(v *vm) any { return v.node("microtask") },
			"global":          func(v *vm) any { return v.rt.GlobalObject() },
			"setTimeout":      func(v *vm) any { return v.setTimer(false, false) },
			"setInterval":     func(v *vm) any { return v.setTimer(true, false) },
			"setImmediate":    func(v *vm) any { return v.setTimer(false, true) },
			"clearTimeout":    func(v *vm) any { return v.clearTimer },
			"clearInterval":   func(v *vm) any { return v.clearTimer },
			"clearImmediate":  func(v *vm) any { return v.clearTimer },
			"URL":             func(v *vm) any { return v.urlModule().Get("URL") },
			"URLSearchParams": func(v *vm) any { return v.urlModule().Get("URLSearchParams") },
		}, map[string]func(*vm) *goja.Object{
			"crypto":      (*vm).crypto,
			"querystring": (*vm).querystring,
			"buffer":      (*vm).bufferModule,
			"cloudfront":  (*vm).cf,
			"dns":         (*vm).dns,
			"path":        (*vm).pathModule,
			"timers":      (*vm).timersModule,
			"url":         (*vm).urlModule,
			"util":        (*vm).utilModule,
			"zlib":        (*vm).zlib,
		}
}

func (v *vm) bufferModule() *goja.Object {
	o := v.rt.NewObject()
	o.Set("Buffer", v.bufferClass())
	return o
}

// crypto is CloudFront's hashes and HMACs, and of Node's what needs no more.
func (v *vm) crypto() *goja.Object {
	o := v.rt.NewObject()
	o.Set("createHash", func(c goja.FunctionCall) goja.Value { return v.hasher(v.algorithm(c.Argument(0))()) })
	o.Set("createHmac", func(c goja.FunctionCall) goja.Value {
		alg := v.algorithm(c.Argument(0))
		return v.hasher(hmac.New(alg, append([]byte(nil), v.bytes(c.Argument(1))...)))
	})
	o.Set("timingSafeEqual", func(c goja.FunctionCall) goja.Value {
		return v.rt.ToValue(subtle.ConstantTimeCompare(v.bytes(c.Argument(0)), v.bytes(c.Argument(1))) == 1)
	})
	o.Set("randomUUID", func() string { return uuid.NewString() })
	o.Set("randomBytes", func(c goja.FunctionCall) goja.Value {
		n := c.Argument(0).ToInteger()
		if n < 0 || n > maxText {
			v.tooMuch("randomBytes")
		}
		b := make([]byte, n)
		rand.Read(b) // never fails
		return v.newBuffer(b)
	})
	return o
}

// algorithms are CloudFront's three, and those that functions for Node use beside.
var algorithms = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

func (v *vm) algorithm(x goja.Value) func() hash.Hash {
	alg := algorithms[strings.ToLower(x.String())]
	if alg == nil {
		v.fail("not supported algorithm: %q; there are md5, sha1, sha256, sha384 and sha512", oneLine(x.String()))
	}
	return alg
}

// hasher is a Hash or Hmac of Node's.
func (v *vm) hasher(h hash.Hash) goja.Value {
	o := v.rt.NewObject()
	o.Set("update", func(c goja.FunctionCall) goja.Value {
		if h == nil {
			v.throw("Digest already called")
		}
		if isText(c.Argument(0)) {
			h.Write(v.bytesOf(c.Argument(0).String(), v.encoding(c.Argument(1))))
		} else {
			h.Write(v.bytes(c.Argument(0)))
		}
		return o
	})
	o.Set("digest", func(c goja.FunctionCall) goja.Value {
		if h == nil {
			v.throw("Digest already called")
		}
		sum := h.Sum(nil)
		h = nil
		if enc := c.Argument(0); !goja.IsUndefined(enc) && enc.String() != "buffer" {
			return v.rt.ToValue(v.text(sum, v.encoding(enc)))
		}
		return v.newBuffer(sum)
	})
	if v.fn.program.Says("copy") {
		o.Set("copy", func(goja.FunctionCall) goja.Value { return v.copied(h) })
	}
	return o
}

// copied returns a hasher of what a hash has taken so far.
func (v *vm) copied(h hash.Hash) goja.Value {
	from, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		v.throw("this digest cannot be copied")
	}
	state, err := from.MarshalBinary()
	var to hash.Hash
	for _, alg := range algorithms {
		if a := alg(); a.Size() == h.Size() {
			to = a
		}
	}
	if err == nil {
		err = to.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
	}
	if err != nil {
		v.throw("this digest cannot be copied: %v", err)
	}
	return v.hasher(to)
}

// querystring is Node's, as far as CloudFront has it.
func (v *vm) querystring() *goja.Object {
	o := v.rt.NewObject()
	escape := func(c goja.FunctionCall) goja.Value { return v.rt.ToValue(queryEscape(c.Argument(0).String())) }
	unescape := func(c goja.FunctionCall) goja.Value { return v.rt.ToValue(queryUnescape(c.Argument(0).String())) }
	o.Set("escape", escape)
	o.Set("unescape", unescape)
	for _, name := range []string{"parse", "decode"} {
		o.Set(name, v.parseQuery)
	}
	for _, name := range []string{"stringify", "encode"} {
		o.Set(name, v.writeQuery)
	}
	return o
}

func queryEscape(s string) string {
	return strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(url.QueryEscape(s))
}

// queryUnescape decodes what is well escaped, and leaves the rest.
func queryUnescape(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return strings.ToValidUTF8(out, "�")
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if c, err := strconv.ParseUint(s[i+1:min(i+3, len(s))], 16, 8); s[i] == '%' && err == nil && i+2 < len(s) {
			b = append(b, byte(c))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return strings.ToValidUTF8(string(b), "�")
}

// option returns an argument as a text, or what stands for none.
func option(x goja.Value, or string) string {
	if x == nil || goja.IsUndefined(x) || goja.IsNull(x) || x.String() == "" {
		return or
	}
	return x.String()
}

// parseQuery is parse(str, sep, eq, {maxKeys, decodeURIComponent}).
func (v *vm) parseQuery(c goja.FunctionCall) goja.Value {
	sep, eq := option(c.Argument(1), "&"), option(c.Argument(2), "=")
	most, decode := int64(1000), goja.Callable(nil)
	if o, ok := c.Argument(3).(*goja.Object); ok {
		if given(o, "maxKeys") {
			if most = o.Get("maxKeys").ToInteger(); most <= 0 { // as many as there are
				most = maxItems
			}
		}
		decode, _ = goja.AssertFunction(o.Get("decodeURIComponent"))
	}
	plain := func(s string) string {
		s = strings.ReplaceAll(s, "+", " ")
		if decode != nil {
			return v.call(decode, goja.Undefined(), v.rt.ToValue(s)).String()
		}
		return queryUnescape(s)
	}
	var found group
	n, text := int64(0), ""
	if isText(c.Argument(0)) {
		text = c.Argument(0).String()
	}
	for pair := range strings.SplitSeq(text, sep) {
		if n++; most > 0 && n > most {
			break
		}
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, eq)
		found.add(plain(name), plain(value), "")
	}
	out := v.rt.CreateObject(nil) // or names such as __proto__ would be there already
	for _, m := range found.list {
		x := v.rt.ToValue(m.values[0])
		if len(m.values) > 1 {
			x = v.rt.ToValue(v.rt.NewArray(anys(m.values)...))
		}
		out.DefineDataProperty(m.name, x, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	}
	return out
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// writeQuery is stringify(obj, sep, eq, {encodeURIComponent}).
func (v *vm) writeQuery(c goja.FunctionCall) goja.Value {
	in, ok := c.Argument(0).(*goja.Object)
	if !ok {
		return v.rt.ToValue("")
	}
	sep, eq, encode := option(c.Argument(1), "&"), option(c.Argument(2), "="), goja.Callable(nil)
	if o, ok := c.Argument(3).(*goja.Object); ok {
		encode, _ = goja.AssertFunction(o.Get("encodeURIComponent"))
	}
	escape := func(s string) string {
		if encode != nil {
			return v.call(encode, goja.Undefined(), v.rt.ToValue(s)).String()
		}
		return queryEscape(s)
	}
	var pairs []string
	size := 0
	for _, name := range in.Keys() {
		values := []goja.Value{in.Get(name)}
		if list, ok := values[0].(*goja.Object); ok && list.ClassName() == "Array" {
			values = nil
			for i := range min(v.length(list), maxItems) {
				values = append(values, list.Get(v.rt.ToValue(i).String()))
			}
		}
		for _, x := range values {
			text := ""
			if _, isObject := x.(*goja.Object); !isObject && x != nil && !goja.IsUndefined(x) && !goja.IsNull(x) {
				text = x.String()
			}
			v.alive()
			pair := escape(name) + eq + escape(text)
			if size += len(pair) + len(sep); size > maxText {
				v.tooMuch("querystring")
			}
			pairs = append(pairs, pair)
		}
	}
	return v.rt.ToValue(strings.Join(pairs, sep))
}

// textEncoder and textDecoder are those of the Encoding standard, for UTF-8.
func (v *vm) textEncoder() any {
	return func(c goja.ConstructorCall) *goja.Object {
		c.This.Set("encoding", "utf-8")
		c.This.Set("encode", func(a goja.FunctionCall) goja.Value {
			text := a.Argument(0)
			if goja.IsUndefined(text) {
				text = v.rt.ToValue("")
			}
			o, err := v.rt.New(v.rt.Get("Uint8Array"), v.rt.ToValue(v.rt.NewArrayBuffer(utf8Of(text))))
			if err != nil {
				panic(err)
			}
			return o
		})
		c.This.Set("encodeInto", v.encodeInto)
		return nil
	}
}

// encodeInto writes as much of a text as fits, by whole characters, and says how
// much that is: read is in UTF-16's units, written in bytes.
func (v *vm) encodeInto(c goja.FunctionCall) goja.Value {
	if o, ok := c.Argument(1).(*goja.Object); !ok || o.Get("byteLength") == nil {
		v.fail("encodeInto: expected a text and a Uint8Array")
	}
	to, read, written := v.bytes(c.Argument(1)), 0, 0
	for _, r := range string(utf8Of(c.Argument(0))) {
		n := utf8.RuneLen(r)
		if written+n > len(to) {
			break
		}
		written += utf8.EncodeRune(to[written:], r)
		read += utf16.RuneLen(r)
	}
	out := v.rt.NewObject()
	out.Set("read", read)
	out.Set("written", written)
	return out
}

func (v *vm) textDecoder() any {
	return func(c goja.ConstructorCall) *goja.Object {
		if label := strings.ToLower(option(c.Argument(0), "utf-8")); label != "utf-8" && label != "utf8" {
			v.fail("TextDecoder: %q; there is utf-8", label)
		}
		fatal, bom := false, false
		if o, ok := c.Argument(1).(*goja.Object); ok {
			fatal = given(o, "fatal") && o.Get("fatal").ToBoolean()
			bom = given(o, "ignoreBOM") && o.Get("ignoreBOM").ToBoolean()
		}
		c.This.Set("encoding", "utf-8")
		c.This.Set("fatal", fatal)
		c.This.Set("ignoreBOM", bom)
		c.This.Set("decode", func(a goja.FunctionCall) goja.Value {
			if goja.IsUndefined(a.Argument(0)) {
				return v.rt.ToValue("")
			}
			b := v.bytes(a.Argument(0))
			text := strings.ToValidUTF8(string(b), "�")
			if fatal && text != string(b) {
				v.fail("TextDecoder: the bytes are not UTF-8")
			}
			if !bom {
				text = strings.TrimPrefix(text, "\ufeff")
			}
			return v.rt.ToValue(text)
		})
		return nil
	}
}
