package function

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dop251/goja"
)

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
			text := decoded(b)
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

// decoded returns UTF-8 as a text, with one U+FFFD for each of the longest parts
// that could begin a character (Unicode 17.0, section 3.9, as the Encoding standard
// has it).
func decoded(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n < len(b) && !utf8.FullRune(b[:n+1]) {
				n++
			}
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}
