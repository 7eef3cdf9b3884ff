package function

import "github.com/dop251/goja"

// parses refuses a JSON text that is nested deeper than the engine's own stack
// should be.
func parses(v *vm, c *goja.FunctionCall) {
	depth, quoted := 0, false
	if len(c.Arguments) == 0 {
		return
	}
	v.settle(&c.Arguments[0])
	text, items := c.Arguments[0].String(), 0
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == ',':
			if items++; items > maxItems {
				v.tooMuch("a JSON text's values")
			}
		case b == '[' || b == '{':
			if depth++; depth > maxNest {
				v.tooMuch("a JSON text's depth")
			}
		case b == ']' || b == '}':
			depth--
		}
	}
}

// counted is JSON.stringify that looks at each value on the way: a few objects
// that hold each other many times become an endless text.
func (v *vm) counted(real goja.Callable) func(goja.FunctionCall) goja.Value {
	return func(c goja.FunctionCall) goja.Value {
		with, gap := c.Argument(1), c.Argument(2)
		own, isFunction := goja.AssertFunction(with)
		if _, isList := with.(*goja.Object); isList && !isFunction { // what it leaves out is counted too
			v.call(real, c.This, c.Argument(0), v.rt.ToValue(v.counter(nil, gap)), gap)
			return v.call(real, c.This, c.Arguments...)
		}
		return v.call(real, c.This, c.Argument(0), v.rt.ToValue(v.counter(own, gap)), gap)
	}
}

// counter returns a replacer that changes nothing but what another does, and ends
// what becomes too much.
func (v *vm) counter(own goja.Callable, gap goja.Value) func(goja.FunctionCall) goja.Value {
	items, size, depths := 0, int64(0), map[goja.Value]int64{}
	width := int64(0)
	if gap != nil && !goja.IsUndefined(gap) {
		width = 10 // at most, whatever it says
	}
	return func(c goja.FunctionCall) goja.Value {
		v.alive()
		x := c.Argument(1)
		if own != nil {
			x = v.call(own, c.This, c.Arguments...)
		}
		if s, ok := x.(goja.String); ok {
			if size += int64(s.Length()); s.Length() > maxText/4 { // each character may become six
				v.tooMuch("JSON")
			}
		}
		if width > 0 {
			depth := depths[c.This] + 1
			if _, isObject := x.(*goja.Object); isObject {
				depths[x] = depth
			}
			size += depth * width
		}
		if items++; items > maxItems || size > maxText {
			v.tooMuch("JSON")
		}
		return x
	}
}

// buffers are the classes whose size is their first argument.
var buffers = []string{
	"ArrayBuffer", "Uint8Array", "Int8Array", "Uint8ClampedArray", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array", "Float32Array", "Float64Array",
	"Array",
}

// widths are the bytes that an element of each takes.
var widths = map[string]int64{
	"ArrayBuffer": 1, "Uint8Array": 1, "Int8Array": 1, "Uint8ClampedArray": 1, "Uint16Array": 2, "Int16Array": 2, "Uint32Array": 4, "Int32Array": 4,
	"Float32Array": 4, "Float64Array": 8, "Array": 16,
}

// boundCopies counts what is copied of typed arrays.
func (v *vm) boundCopies() {
	proto := v.typedArrays()
	for _, name := range []string{"slice", "map", "filter", "toReversed", "toSorted", "with"} {
		real, ok := goja.AssertFunction(proto.Get(name))
		if !ok {
			continue
		}
		proto.Set(name, func(c goja.FunctionCall) goja.Value {
			v.alive()
			if o, ok := c.This.(*goja.Object); ok {
				v.charge(o.Get("byteLength").ToInteger(), name)
			}
			return v.call(real, c.This, c.Arguments...)
		})
	}
}

// bound lets a class make nothing that is too large.
func (v *vm) bound(name string) {
	real, ok := v.rt.Get(name).(*goja.Object)
	if !ok {
		return
	}
	look := func(args []goja.Value) {
		if len(args) == 0 {
			return
		}
		n := v.length(args[0])
		switch args[0].ExportType() {
		case nil:
		default:
			if _, isObject := args[0].(*goja.Object); !isObject {
				n = args[0].ToInteger()
			}
		}
		if name == "Array" && (len(args) > 1 || isText(args[0])) {
			return
		}
		if n > maxText || name == "Array" && n > maxItems {
			v.tooMuch(name)
		}
		v.charge(max(n, 0)*widths[name], name)
	}
	f, _ := goja.AssertFunction(real)
	shown := v.rt.NewProxy(real, &goja.ProxyTrapConfig{
		Construct: func(_ *goja.Object, args []goja.Value, to *goja.Object) *goja.Object {
			look(args)
			make, _ := goja.AssertConstructor(real)
			o := v.constructed(make(real, args...))
			if proto, ok := to.Get("prototype").(*goja.Object); ok && proto != real.Get("prototype") {
				o.SetPrototype(proto) // of a class that extends it
			}
			return o
		},
		Apply: func(_ *goja.Object, this goja.Value, args []goja.Value) goja.Value {
			look(args)
			return v.call(f, this, args...)
		},
	})
	v.instances(real)
	v.rt.Set(name, shown)
	real.Get("prototype").ToObject(v.rt).Set("constructor", shown)
}

// instances lets a class that is shown as a proxy stand right of instanceof: the
// engine has no answer for proxies of its own (OrdinaryHasInstance).
func (v *vm) instances(class *goja.Object) {
	class.DefineDataPropertySymbol(goja.SymHasInstance, v.rt.ToValue(func(c goja.FunctionCall) goja.Value {
		of, ok := c.This.(*goja.Object)
		o, isObject := c.Argument(0).(*goja.Object)
		if !ok || !isObject {
			return v.rt.ToValue(false)
		}
		proto, ok := of.Get("prototype").(*goja.Object)
		for o = o.Prototype(); ok && o != nil && o != proto; o = o.Prototype() {
			v.alive()
		}
		return v.rt.ToValue(ok && o != nil)
	}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
}
