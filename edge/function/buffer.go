package function

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	"github.com/dop251/goja"
)

//go:embed buffer.js
var bufferSource string

// bufferProgram makes the class Buffer.
var bufferProgram = goja.MustCompile("buffer", bufferSource, true)

// bufferClass returns the class Buffer of the runtime, made when it is first
// asked for.
func (v *vm) bufferClass() *goja.Object {
	if v.buffer != nil {
		return v.buffer
	}
	f, err := v.rt.RunProgram(bufferProgram)
	if err != nil {
		panic(err)
	}
	make, _ := goja.AssertFunction(f)
	v.buffer = v.call(make, goja.Undefined(), v.nativeBytes()).ToObject(v.rt)
	return v.buffer
}

// nativeBytes is what the classes in JavaScript have from here.
func (v *vm) nativeBytes() *goja.Object {
	native := v.rt.NewObject()
	native.Set("max", maxText)
	native.Set("charge", func(n int64) { v.charge(n, "Buffer") })
	native.Set("whole", func(c goja.FunctionCall) goja.Value { v.whole(c.Argument(0)); return goja.Undefined() })
	native.Set("known", func(enc string) bool { _, ok := encodings[strings.ToLower(enc)]; return ok })
	native.Set("encode", func(c goja.FunctionCall) goja.Value {
		return v.rt.ToValue(v.text(v.bytes(c.Argument(0)), v.encoding(c.Argument(1))))
	})
	native.Set("decode", func(c goja.FunctionCall) goja.Value {
		v.charge(textLength(c.Argument(0)), "Buffer")
		return v.rt.ToValue(v.rt.NewArrayBuffer(v.bytesOf(c.Argument(0).String(), v.encoding(c.Argument(1)))))
	})
	native.Set("index", func(c goja.FunctionCall) goja.Value {
		in, part, from := v.bytes(c.Argument(0)), v.bytes(c.Argument(1)), int(c.Argument(2).ToInteger())
		return v.rt.ToValue(indexIn(in, part, from, c.Argument(3).ToBoolean()))
	})
	return native
}

func indexIn(in, part []byte, from int, last bool) int {
	if from < 0 {
		from = max(0, len(in)+from)
	}
	if last {
		return bytes.LastIndex(in[:min(len(in), from+len(part))], part)
	}
	if from > len(in) {
		return -1
	}
	i := bytes.Index(in[from:], part)
	if i >= 0 {
		i += from
	}
	return i
}

// newBuffer makes a Buffer of bytes, which are its own from now on.
func (v *vm) newBuffer(b []byte) goja.Value {
	o, err := v.rt.New(v.bufferClass(), v.rt.ToValue(v.rt.NewArrayBuffer(b)))
	if err != nil {
		panic(err)
	}
	return o
}

// bytes returns the bytes of a buffer, an array of bytes, or a text in UTF-8.
func (v *vm) bytes(x goja.Value) []byte {
	o, ok := x.(*goja.Object)
	if !ok {
		return utf8Of(x)
	}
	switch b := o.Export().(type) {
	case []byte:
		return b
	case goja.ArrayBuffer:
		return b.Bytes()
	}
	if ab, ok := o.Get("buffer").(*goja.Object); ok {
		if b, ok := ab.Export().(goja.ArrayBuffer); ok {
			at, n := int(o.Get("byteOffset").ToInteger()), int(o.Get("byteLength").ToInteger())
			return b.Bytes()[at : at+n]
		}
	}
	v.fail("expected a string, a Buffer or a typed array")
	return nil
}

// utf8Of returns a text in UTF-8, as String gives it: a lone surrogate is U+FFFD.
func utf8Of(x goja.Value) []byte { return []byte(strings.ToValidUTF8(x.String(), "�")) }

// encodings are Node's names of how bytes are written as text.
var encodings = map[string]string{
	"": "utf8", "utf8": "utf8", "utf-8": "utf8", "hex": "hex", "base64": "base64", "base64url": "base64url",
	"ascii": "ascii", "latin1": "latin1", "binary": "latin1", "utf16le": "utf16le", "utf-16le": "utf16le", "ucs2": "utf16le", "ucs-2": "utf16le",
}

func (v *vm) encoding(x goja.Value) string {
	if x == nil || goja.IsUndefined(x) || goja.IsNull(x) {
		return "utf8"
	}
	enc, ok := encodings[strings.ToLower(x.String())]
	if !ok {
		v.fail("Unknown encoding: %s", oneLine(x.String()))
	}
	return enc
}

// text writes bytes as text.
func (v *vm) text(b []byte, enc string) string {
	switch enc {
	case "hex":
		return hex.EncodeToString(b)
	case "base64":
		return base64.StdEncoding.EncodeToString(b)
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(b)
	case "latin1":
		return latin1(b)
	case "ascii":
		low := make([]byte, len(b))
		for i, c := range b {
			low[i] = c & 0x7f
		}
		return string(low)
	case "utf16le":
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
		}
		return string(utf16.Decode(u))
	}
	return decoded(b)
}

// bytesOf reads what text writes. As in Node, what is no base64 or hex ends it.
func (v *vm) bytesOf(s, enc string) []byte {
	switch enc {
	case "hex":
		n := 0
		for n+1 < len(s) && isHex(s[n]) && isHex(s[n+1]) {
			n += 2
		}
		b, _ := hex.DecodeString(s[:n])
		return b
	case "base64", "base64url":
		return anyBase64(s)
	case "latin1", "ascii":
		b := make([]byte, 0, len(s))
		for _, r := range s {
			b = append(b, byte(r))
		}
		return b
	case "utf16le":
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return b
	}
	return []byte(strings.ToValidUTF8(s, "�"))
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// anyBase64 reads both alphabets, with padding or without; other characters are
// passed over, and = ends it.
func anyBase64(s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := 0; i < len(s) && s[i] != '='; i++ {
		switch c := s[i]; {
		case c == '+':
			clean = append(clean, '-')
		case c == '/':
			clean = append(clean, '_')
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			clean = append(clean, c)
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawURLEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawURLEncoding.Decode(out, clean)
	return out[:n]
}
