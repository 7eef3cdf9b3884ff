package function

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math"
	"strconv"

	"github.com/dop251/goja"
	"github.com/fxamacker/cbor/v2"
)

// A mac0 is a token under its MAC (RFC 9052, section 6.2).
type mac0 struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[any]any
	Payload     []byte
	Tag         []byte
}

// The tags and labels of tokens (RFC 8392, section 6; RFC 9052, section 3.1;
// RFC 9053, section 3.1).
const (
	tagCWT, tagMAC0 = 61, 17
	labelAlg        = int64(1)
	hmac256         = int64(5)
	maxToken        = 1 << 10 // bytes
)

// tokens reads what strangers send: it is short and flat, and says nothing twice.
var tokens = must(cbor.DecOptions{
	DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 16, IntDec: cbor.IntDecConvertSignedOrFail,
}.DecMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// cwt is the part of the module cloudfront for CBOR Web Tokens (RFC 8392):
// COSE_Mac0 with HMAC-SHA256. It looks at no claim.
func (v *vm) cwt() *goja.Object {
	o := v.rt.NewObject()
	o.Set("validateToken", func(c goja.FunctionCall) goja.Value {
		t, err := openToken(v.bytes(c.Argument(0)), v.key(c.Argument(1)))
		if err != nil {
			v.throw("validateToken: %v", err)
		}
		return t.shown(v)
	})
	o.Set("generateToken", func(c goja.FunctionCall) goja.Value {
		token, with := c.Argument(0), c.Argument(1)
		if ctx, ok := token.(*goja.Object); ok && given(ctx, "coseTag") { // the documentation has both orders
			token, with = with, token
		}
		b, err := v.newToken(token, with)
		if err != nil {
			v.throw("generateToken: %v", err)
		}
		return v.newBuffer(b)
	})
	return o
}

// key reads the key of a context: a text or a Buffer.
func (v *vm) key(x goja.Value) []byte {
	o, ok := x.(*goja.Object)
	if !ok || !given(o, "key") {
		v.fail("expected a context with a key")
	}
	return v.bytes(o.Get("key"))
}

// A token is one whose MAC is right.
type token struct{ protected, unprotected, payload any }

// openToken returns a token if its MAC is that of the key.
func openToken(b, key []byte) (t token, err error) {
	if len(b) > maxToken {
		return t, fmt.Errorf("%d bytes; at most %d", len(b), maxToken)
	}
	var tag cbor.RawTag
	if err := tokens.Unmarshal(b, &tag); err == nil && tag.Number == tagCWT {
		b = tag.Content
	}
	if err := tokens.Unmarshal(b, &tag); err != nil || tag.Number != tagMAC0 {
		return t, fmt.Errorf("it is no COSE_Mac0")
	}
	var m mac0
	if err := tokens.Unmarshal(tag.Content, &m); err != nil {
		return t, err
	}
	head := map[any]any{}
	if err := tokens.Unmarshal(m.Protected, &head); err != nil {
		return t, fmt.Errorf("protected headers: %w", err)
	}
	if head[labelAlg] != hmac256 {
		return t, fmt.Errorf("the algorithm is %v; expected 5, HMAC-SHA256", head[labelAlg])
	}
	if !hmac.Equal(m.Tag, macOf(m.Protected, m.Payload, key)) {
		return t, fmt.Errorf("the MAC is not the key's")
	}
	t = token{protected: head, unprotected: m.Unprotected}
	return t, tokens.Unmarshal(m.Payload, &t.payload)
}

// macOf returns the MAC of a MAC_structure (RFC 9052, section 6.3).
func macOf(protected, payload, key []byte) []byte {
	b, _ := cbor.Marshal([]any{"MAC0", protected, []byte{}, payload}) // of bytes and texts: cannot fail
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

// newToken writes a CWTObject under a context {key, coseTag, cwtTag}.
func (v *vm) newToken(x, with goja.Value) ([]byte, error) {
	key := v.key(with)
	ctx := with.(*goja.Object)
	if !given(ctx, "coseTag") || ctx.Get("coseTag").String() != "MAC0" {
		return nil, fmt.Errorf("coseTag: expected MAC0")
	}
	o, ok := x.(*goja.Object)
	if !ok || !given(o, "payload") {
		return nil, fmt.Errorf("expected a token with a payload")
	}
	head := v.part(o, "protected")
	head[labelAlg] = hmac256
	protected, err := cbor.Marshal(head)
	if err != nil {
		return nil, err
	}
	payload, err := cbor.Marshal(v.plain(o.Get("payload"), new(int), 0))
	if err != nil {
		return nil, err
	}
	m := mac0{Protected: protected, Unprotected: v.part(o, "unprotected"), Payload: payload, Tag: macOf(protected, payload, key)}
	var out any = cbor.Tag{Number: tagMAC0, Content: m}
	if given(ctx, "cwtTag") && ctx.Get("cwtTag").ToBoolean() {
		out = cbor.Tag{Number: tagCWT, Content: out}
	}
	b, err := cbor.Marshal(out)
	if err == nil && len(b) > maxToken {
		err = fmt.Errorf("%d bytes; at most %d", len(b), maxToken)
	}
	return b, err
}

// part returns headers of a token, by either of their two names.
func (v *vm) part(o *goja.Object, name string) map[any]any {
	for _, name := range []string{name, name + "Headers"} {
		if m, ok := v.plain(o.Get(name), new(int), 0).(map[any]any); ok {
			return m
		}
	}
	return map[any]any{}
}

// plain returns a value as CBOR has it: a key that is a whole number is one. It
// counts values: those that hold one another many times would be endless.
func (v *vm) plain(x goja.Value, values *int, depth int) any {
	if depth > 16 {
		v.fail("a token is nested too deep")
	}
	v.alive()
	if *values++; *values > maxToken {
		v.fail("a token has too many values")
	}
	o, ok := x.(*goja.Object)
	if !ok {
		return scalar(x)
	}
	if given(o, "byteLength") {
		return v.bytes(o)
	}
	if o.ClassName() == "Array" {
		out := []any{}
		for i := range min(v.length(o), maxToken) {
			out = append(out, v.plain(o.Get(strconv.FormatInt(i, 10)), values, depth+1))
		}
		return out
	}
	out := map[any]any{}
	for _, name := range o.Keys() {
		if n, err := strconv.ParseInt(name, 10, 64); err == nil {
			out[n] = v.plain(o.Get(name), values, depth+1)
		} else {
			out[name] = v.plain(o.Get(name), values, depth+1)
		}
	}
	return out
}

func scalar(x goja.Value) any {
	if x == nil || goja.IsUndefined(x) || goja.IsNull(x) {
		return nil
	}
	if f, ok := x.Export().(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return x.Export()
}

// shown returns a token as CloudFront's CWTObject.
func (t token) shown(v *vm) goja.Value {
	o := v.rt.NewObject()
	o.Set("protectedHeaders", v.fromCBOR(t.protected))
	o.Set("unprotectedHeaders", v.fromCBOR(t.unprotected))
	o.Set("payload", v.fromCBOR(t.payload))
	return o
}

// fromCBOR returns what CBOR says as a value of the runtime: keys are texts.
func (v *vm) fromCBOR(x any) goja.Value {
	switch x := x.(type) {
	case map[any]any:
		o := v.rt.NewObject()
		for key, value := range x {
			o.Set(fmt.Sprint(key), v.fromCBOR(value))
		}
		return o
	case []any:
		list := make([]any, len(x))
		for i := range x {
			list[i] = v.fromCBOR(x[i])
		}
		return v.rt.NewArray(list...)
	case []byte:
		return v.newBuffer(x)
	case cbor.Tag:
		return v.fromCBOR(x.Content)
	case nil:
		return goja.Null()
	}
	return v.rt.ToValue(x)
}
