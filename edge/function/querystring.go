package function

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

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
