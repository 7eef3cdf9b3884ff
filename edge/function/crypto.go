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
	"strings"

	"github.com/dop251/goja"
	"github.com/google/uuid"
)

// crypto is CloudFront's hashes and HMACs, and of Node's what needs no more.
func (v *vm) crypto() *goja.Object {
	o := v.rt.NewObject()
	o.Set("createHash", func(c goja.FunctionCall) goja.Value { return v.hasher(v.algorithm(c.Argument(0))()) })
	o.Set("createHmac", func(c goja.FunctionCall) goja.Value {
		alg := v.algorithm(c.Argument(0))
		return v.hasher(hmac.New(alg, append([]byte(nil), v.secret(c.Argument(1))...)))
	})
	o.Set("timingSafeEqual", func(c goja.FunctionCall) goja.Value {
		x, y := v.data(c.Argument(0)), v.data(c.Argument(1))
		if len(x) != len(y) {
			panic(v.newError("RangeError", "Input buffers must have the same byte length"))
		}
		return v.rt.ToValue(subtle.ConstantTimeCompare(x, y) == 1)
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
	if v.fn.program.Says(signers...) {
		v.signing(o)
	}
	return o
}

// data returns what is hashed: a text, or bytes, and nothing else, as in Node.
func (v *vm) data(x goja.Value) []byte {
	if _, ok := x.(*goja.Object); !ok && !isText(x) {
		v.fail("expected a string or a Buffer, got %s", kindOf(x))
	}
	return v.bytes(x)
}

// secret returns the key of an HMAC.
func (v *vm) secret(x goja.Value) []byte {
	o, _ := x.(*goja.Object)
	if k, ok := v.keys[o]; ok {
		if b, ok := k.([]byte); ok {
			return b
		}
		v.fail("expected a secret key")
	}
	return v.data(x)
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
			h.Write(v.data(c.Argument(0)))
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
