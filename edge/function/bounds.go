package function

import (
	"reflect"
	"strconv"

	"github.com/dop251/goja"
)

// What one call of the language's own functions may make or walk through. Those
// are loops that no interrupt ends, so they are bounded before they begin.
const (
	maxText  = 1 << 20 // characters of a string, bytes of a buffer
	maxItems = 1 << 16 // elements of an array
	maxNest  = 500     // levels of a JSON text

	maxPieces   = 1 << 15 // characters of a text, or bytes of a buffer, that are taken apart
	maxPattern  = 1 << 12 // characters of a regular expression
	maxSearched = 1 << 17 // of one in which an expression finds each match
)

// pieces returns how many values a text or a buffer is taken apart into.
func (v *vm) pieces(x goja.Value) int64 {
	switch x := x.(type) {
	case goja.String:
		return int64(x.Length())
	case *goja.Object:
		t := x.ExportType()
		if t == proxyType {
			return v.pieces(x.Export().(goja.Proxy).Target())
		}
		if t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Interface || x.ClassName() == "String" {
			return v.length(x)
		}
	}
	return 0
}

// whole refuses to take apart what has too many pieces.
func (v *vm) whole(x goja.Value) {
	if v.pieces(x) > maxPieces {
		v.tooMuch("what is taken apart")
	}
}

// takesApart bounds what a call takes the properties of.
func takesApart(v *vm, c *goja.FunctionCall) {
	for _, a := range c.Arguments {
		v.whole(a)
	}
}

// charge counts bytes that a run makes with one call, and ends what makes more
// in all than a run may.
func (v *vm) charge(n int64, what string) {
	if v.made += n; v.made > v.limits.Memory {
		v.tooMuch(what)
	}
}

// settleNumber makes a number of an argument, and returns it.
func (v *vm) settleNumber(c *goja.FunctionCall, i int) int64 {
	n := c.Argument(i).ToInteger()
	if i < len(c.Arguments) {
		c.Arguments[i] = v.rt.ToValue(n)
	}
	return n
}

// concats bounds an array that is made of several.
func concats(v *vm, c *goja.FunctionCall) {
	total := v.length(c.This)
	for _, a := range c.Arguments {
		if total += max(v.length(a), 1); total > maxItems {
			v.tooMuch("concat")
		}
	}
	v.charge(16*total, "arrays")
}

// length returns the length of an array, or of what looks like one.
func (v *vm) length(x goja.Value) int64 {
	o, ok := x.(*goja.Object)
	if !ok {
		return 0
	}
	if v.unsteady(o) {
		v.tooMuch("a length that is made anew each time")
	}
	n := o.Get("length")
	if n == nil {
		return 0
	}
	if _, isObject := n.(*goja.Object); isObject {
		v.tooMuch("a length that is made anew each time")
	}
	return n.ToInteger()
}

// unsteady reports whether an object may say another length each time it is asked.
func (v *vm) unsteady(o *goja.Object) bool {
	switch {
	case o.ExportType() == proxyType:
		return true
	case v.describe == nil || o.ClassName() == "Array":
		return false
	case o.ExportType().Kind() == reflect.Slice: // a typed array, whose own length counts
		return false
	}
	for ; o != nil; o = o.Prototype() {
		if d, ok := v.call(v.describe, goja.Undefined(), o, v.rt.ToValue("length")).(*goja.Object); ok {
			return given(d, "get")
		}
	}
	return false
}

var proxyType = reflect.TypeFor[goja.Proxy]()

// describes keeps what tells how a property is made, for sources that could make
// one that computes.
func (v *vm) describes() {
	v.describe, _ = goja.AssertFunction(v.rt.Get("Object").ToObject(v.rt).Get("getOwnPropertyDescriptor"))
}

func fewItems(v *vm, c *goja.FunctionCall) {
	v.whole(c.This)
	if v.length(c.This) > maxItems {
		v.tooMuch("an array")
	}
}

// flattens bounds what lists in lists become.
func flattens(v *vm, c *goja.FunctionCall) {
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

func fromFew(v *vm, c *goja.FunctionCall) {
	v.whole(c.Argument(0))
	if v.length(c.Argument(0)) > maxItems {
		v.tooMuch("an array")
	}
}

func applies(v *vm, c *goja.FunctionCall) {
	if v.length(c.Argument(1)) > maxItems {
		v.tooMuch("arguments")
	}
}

func reflects(v *vm, c *goja.FunctionCall) {
	if v.length(c.Argument(2)) > maxItems {
		v.tooMuch("arguments")
	}
}

// joins bounds what an array of texts becomes.
func joins(v *vm, c *goja.FunctionCall) {
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
