package function

import (
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// What one call of the language's own functions may make or walk through. Those
// are loops that no interrupt ends, so they are bounded before they begin.
const (
	maxText  = 1 << 20 // characters of a string, bytes of a buffer
	maxItems = 1 << 16 // elements of an array
	maxNest  = 500     // levels of a JSON text
)

func textLength(x goja.Value) int64 {
	if s, ok := x.(goja.String); ok {
		return int64(s.Length())
	}
	return int64(len(x.String()))
}

func repeats(v *vm, c goja.FunctionCall) {
	if n := c.Argument(0).ToInteger(); n > 0 && textLength(c.This) > maxText/n {
		v.tooMuch("repeat")
	}
}

func pads(v *vm, c goja.FunctionCall) {
	if c.Argument(0).ToInteger() > maxText {
		v.tooMuch("pad")
	}
}

// replaces bounds what a replacement may become if it stands at every place, and
// each $ in it for the whole text.
func replaces(v *vm, c goja.FunctionCall) {
	with, ok := c.Argument(1).(goja.String)
	if !ok {
		return
	}
	n := textLength(c.This)
	size := int64(with.Length())
	if strings.ContainsAny(with.String(), "$") {
		size += n * int64(strings.Count(with.String(), "$"))
	}
	if n > 0 && size > 16*maxText/n {
		v.tooMuch("replace")
	}
}

// length returns the length of an array, or of what looks like one.
func (v *vm) length(x goja.Value) int64 {
	o, ok := x.(*goja.Object)
	if !ok {
		return 0
	}
	n := o.Get("length")
	if n == nil {
		return 0
	}
	return n.ToInteger()
}

func fewItems(v *vm, c goja.FunctionCall) {
	if v.length(c.This) > maxItems {
		v.tooMuch("an array")
	}
}

// flattens bounds what lists in lists become.
func flattens(v *vm, c goja.FunctionCall) {
	depth := int64(1)
	if d := c.Argument(0); !goja.IsUndefined(d) {
		depth = d.ToInteger()
	}
	left := int64(maxItems)
	v.countFlat(c.This, min(depth, maxNest), &left)
}

func (v *vm) countFlat(x goja.Value, depth int64, left *int64) {
	o, ok := x.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		*left--
		return
	}
	n := v.length(o)
	if *left -= n; *left < 0 {
		v.tooMuch("flat")
	}
	for i := int64(0); i < n && depth > 0; i++ {
		if item, ok := o.Get(strconv.FormatInt(i, 10)).(*goja.Object); ok {
			v.countFlat(item, depth-1, left)
		}
	}
}

func fromFew(v *vm, c goja.FunctionCall) {
	if v.length(c.Argument(0)) > maxItems {
		v.tooMuch("an array")
	}
}

func applies(v *vm, c goja.FunctionCall) {
	if v.length(c.Argument(1)) > maxItems {
		v.tooMuch("arguments")
	}
}

func reflects(v *vm, c goja.FunctionCall) {
	if v.length(c.Argument(2)) > maxItems {
		v.tooMuch("arguments")
	}
}

// joins bounds what an array of texts becomes.
func joins(v *vm, c goja.FunctionCall) {
	fewItems(v, c)
	o, ok := c.This.(*goja.Object)
	if !ok {
		return
	}
	size := int64(1)
	if by := c.Argument(0); !goja.IsUndefined(by) {
		size = textLength(by)
	}
	n := v.length(o)
	total := size * n
	for i := int64(0); i < n && total <= maxText; i++ {
		if s, ok := o.Get(strconv.FormatInt(i, 10)).(goja.String); ok {
			total += int64(s.Length())
		}
	}
	if total > maxText {
		v.tooMuch("join")
	}
}

func shortText(v *vm, c goja.FunctionCall) {
	if textLength(c.This) > maxText {
		v.tooMuch("join")
	}
}

// parses refuses a JSON text that is nested deeper than the engine's own stack
// should be.
func parses(v *vm, c goja.FunctionCall) {
	depth, quoted := 0, false
	text := c.Argument(0).String()
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
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
		o, isObject := c.Argument(0).(*goja.Object)
		if !isObject || !goja.IsUndefined(c.Argument(1)) && !goja.IsNull(c.Argument(1)) {
			return v.call(real, c.This, c.Arguments...)
		}
		return v.call(real, c.This, o, v.rt.ToValue(v.counter()), c.Argument(2))
	}
}

// counter returns a replacer that changes nothing, and ends what becomes too much.
func (v *vm) counter() func(goja.FunctionCall) goja.Value {
	items, size := 0, int64(0)
	return func(c goja.FunctionCall) goja.Value {
		v.alive()
		x := c.Argument(1)
		if s, ok := x.(goja.String); ok {
			size += int64(s.Length())
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
	}
	f, _ := goja.AssertFunction(real)
	shown := v.rt.NewProxy(real, &goja.ProxyTrapConfig{
		Construct: func(_ *goja.Object, args []goja.Value, to *goja.Object) *goja.Object {
			look(args)
			make, _ := goja.AssertConstructor(real)
			o, err := make(real, args...)
			if thrown, ok := err.(*goja.Exception); ok {
				panic(thrown.Value())
			}
			if err != nil {
				panic(err)
			}
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

func isText(x goja.Value) bool { _, ok := x.(goja.String); return ok }
