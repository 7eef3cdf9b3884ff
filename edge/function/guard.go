package function

import (
	"slices"
	"strings"

	"github.com/dop251/goja"

	"meridian/internal/script"
)

// forbid takes away what makes code of text.
func (v *vm) forbid() {
	real := v.rt.Get("Function").ToObject(v.rt)
	refuse := func(any) { v.fail("code cannot be made of text here") }
	shown := v.rt.NewProxy(real, &goja.ProxyTrapConfig{
		Apply:     func(*goja.Object, goja.Value, []goja.Value) goja.Value { refuse(nil); return nil },
		Construct: func(*goja.Object, []goja.Value, *goja.Object) *goja.Object { refuse(nil); return nil },
	})
	v.instances(real)
	v.rt.Set("Function", shown)
	real.Get("prototype").ToObject(v.rt).Set("constructor", shown)
	for _, kind := range []string{"async function(){}", "function*(){}"} { // their constructors have no name
		f, err := v.rt.RunString("(" + kind + ")")
		if err != nil {
			panic(err)
		}
		proto := f.ToObject(v.rt).Prototype()
		proto.DefineDataProperty("constructor", v.rt.ToValue(shown), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
}

// A check looks at a call before it is made, and may settle what its arguments
// are: those that make a value anew each time they are asked would be another
// after it was looked at. It panics with what is thrown.
type check func(v *vm, c *goja.FunctionCall)

// A guardedFunction is one of the language's own, by the object that has it.
type guardedFunction struct {
	object, name string // such as String.prototype, repeat
	before       check
	after        check // gets the result as This; may be nil
}

// guards are the functions that make much of little, whatever the source is.
var guards = []guardedFunction{
	{"String.prototype", "repeat", repeats, nil},
	{"String.prototype", "padStart", pads, nil},
	{"String.prototype", "padEnd", pads, nil},
	{"String.prototype", "concat", addsUp, nil},
	{"String.prototype", "replace", replaces, grows},
	{"String.prototype", "replaceAll", replaces, grows},
	{"String.prototype", "split", splits, nil},
	{"String.prototype", "match", searches, nil},
	{"String.prototype", "matchAll", searches, nil},
	{"String.prototype", "search", patterned, nil},
	{"String.prototype", "localeCompare", collates, nil},
	{"String.prototype", "normalize", normalizes, grows},
	{"String.prototype", "toUpperCase", nothing, grows},
	{"String", "raw", raws, nil},
	{"Object", "keys", takesApart, nil},
	{"Object", "values", takesApart, nil},
	{"Object", "entries", takesApart, nil},
	{"Object", "assign", takesApart, nil},
	{"Object", "getOwnPropertyNames", takesApart, nil},
	{"Object", "getOwnPropertyDescriptors", takesApart, nil},
	{"Reflect", "ownKeys", takesApart, nil},
	{"RegExp.prototype", "compile", patterns, nil},
	{"Array.prototype", "concat", concats, nil},
	{"Array.prototype", "join", joins, grows},
	{"Array.prototype", "flat", flattens, nil},
	{"Array", "from", fromFew, nil},
	{"Function.prototype", "apply", applies, nil},
	{"Reflect", "apply", reflects, nil},
	{"JSON", "parse", parses, nil},
}

// walkers are the functions of arrays that walk through a length, filled or not.
var walkers = []string{
	"copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast", "findLastIndex", "flatMap", "forEach", "includes", "indexOf", "lastIndexOf",
	"map", "reduce", "reduceRight", "reverse", "shift", "slice", "some", "sort", "splice", "toReversed", "toSorted", "toSpliced", "unshift", "with",
}

// guardsOf returns what puts checks before those functions that a source says,
// or that the language calls for it.
func guardsOf(p *script.Program, says func(words ...string) bool, all bool) (out []func(*vm)) {
	add := func(g guardedFunction) { out = append(out, func(v *vm) { v.wrap(g.object, g.name, checked(v, g)) }) }
	for _, g := range guards {
		if says(g.name) || g.name == "join" && (p.Nests || p.Sparse) { // a text of an array is joined
			add(g)
		}
	}
	if says("get", "defineProperty", "defineProperties", "__defineGetter__", "create", "Reflect") {
		out = append(out, (*vm).describes)
	}
	if says("stringify") {
		out = append(out, func(v *vm) { v.wrap("JSON", "stringify", v.counted) })
	}
	if all || p.Sparse || says("Reflect", "assign", "defineProperty", "defineProperties") || says("call", "apply", "bind") || p.Borrows(walkers...) { // or of what is no array
		for _, name := range walkers {
			if all || says(name) {
				add(guardedFunction{"Array.prototype", name, fewItems, nil})
			}
		}
		out = append(out, (*vm).boundIteration)
	}
	if says("RegExp", "constructor") {
		out = append(out, (*vm).boundPatterns)
	}
	if says("Symbol", "getOwnPropertySymbols", "ownKeys") {
		out = append(out, (*vm).boundMatches)
	}
	for _, name := range buffers {
		if says(name) {
			out = append(out, func(v *vm) { v.bound(name) })
		}
	}
	if all || p.Spreads {
		out = append(out, (*vm).boundCharacters)
	}
	if says("slice", "map", "filter", "toReversed", "toSorted", "with") && says(append(buffers, "Buffer")...) {
		out = append(out, (*vm).boundCopies)
	}
	if says("BigInt", "BigInt64Array", "BigUint64Array", "getBigInt64", "getBigUint64", "globalThis") {
		out = append(out, (*vm).noBigInts)
	}
	return out
}

// named is given each name that a source computes of what may be a function. One
// of those that are bounded, which the source does not say, has all bounded from
// then on.
func (v *vm) named(x goja.Value) goja.Value {
	if _, isSymbol := x.(*goja.Symbol); isSymbol {
		return x
	}
	v.settle(&x)
	s, ok := x.(goja.String)
	if !ok || v.guarded || s.Length() > maxName || !boundNames[s.String()] || v.fn.program.Says(s.String()) {
		return x
	}
	v.guarded = true
	p := v.fn.program
	unsaid := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return !p.Says(w) })
	}
	for _, set := range guardsOf(p, unsaid, true) {
		set(v)
	}
	v.rt.GlobalObject().Delete("eval")
	v.forbid()
	return x
}

// maxName is no shorter than any name of a bounded function.
const maxName = 32

// boundNames are the names of what is bounded.
var boundNames = func() map[string]bool {
	out := map[string]bool{}
	for _, name := range slices.Concat(walkers, buffers, []string{"constructor", "eval", "Function", "RegExp", "stringify", "BigInt", "BigInt64Array", "BigUint64Array"}) {
		out[name] = true
	}
	for _, g := range guards {
		out[g.name] = true
	}
	return out
}()

// noBigInts takes away numbers of any size: a short expression makes one that
// fills the memory, and CloudFront's runtime has none.
func (v *vm) noBigInts() {
	for _, name := range []string{"BigInt", "BigInt64Array", "BigUint64Array"} {
		v.rt.GlobalObject().Delete(name)
	}
	view := v.rt.Get("DataView").ToObject(v.rt).Get("prototype").ToObject(v.rt)
	view.Delete("getBigInt64")
	view.Delete("getBigUint64")
}

// boundIteration bounds what is spread or walked through of an array: of one with
// a length that nobody filled it would be each place.
func (v *vm) boundIteration() {
	proto := v.rt.Get("Array").ToObject(v.rt).Get("prototype").ToObject(v.rt)
	real, ok := goja.AssertFunction(proto.GetSymbol(goja.SymIterator))
	if !ok {
		return
	}
	proto.SetSymbol(goja.SymIterator, func(c goja.FunctionCall) goja.Value {
		v.alive()
		fewItems(v, &c)
		return v.call(real, c.This)
	})
}

// boundMatches bounds what an expression finds where it is asked itself, by the
// names that only symbols have.
func (v *vm) boundMatches() {
	proto := v.rt.Get("RegExp").ToObject(v.rt).Get("prototype").ToObject(v.rt)
	for _, name := range []*goja.Symbol{goja.SymReplace, goja.SymMatch, goja.SymMatchAll, goja.SymSplit} {
		real, ok := goja.AssertFunction(proto.GetSymbol(name))
		if !ok {
			continue
		}
		proto.SetSymbol(name, func(c goja.FunctionCall) goja.Value {
			v.alive()
			if len(c.Arguments) == 0 {
				return v.call(real, c.This)
			}
			if v.settle(&c.Arguments[0]); textLength(c.Arguments[0]) > maxSearched {
				v.tooMuch("a text that is searched")
			}
			if name == goja.SymReplace {
				on := goja.FunctionCall{This: c.Arguments[0], Arguments: append([]goja.Value{c.This}, c.Arguments[1:]...)}
				replaces(v, &on)
				copy(c.Arguments[1:], on.Arguments[1:])
			}
			out := v.call(real, c.This, c.Arguments...)
			grows(v, &goja.FunctionCall{This: out})
			return out
		})
	}
}

// boundPatterns bounds the expressions that a source makes of texts.
func (v *vm) boundPatterns() {
	real := v.rt.Get("RegExp").ToObject(v.rt)
	f, _ := goja.AssertFunction(real)
	make, _ := goja.AssertConstructor(real)
	shown := v.rt.NewProxy(real, &goja.ProxyTrapConfig{
		Construct: func(_ *goja.Object, args []goja.Value, to *goja.Object) *goja.Object {
			patterns(v, &goja.FunctionCall{Arguments: args})
			return v.constructed(make(to, args...))
		},
		Apply: func(_ *goja.Object, this goja.Value, args []goja.Value) goja.Value {
			patterns(v, &goja.FunctionCall{Arguments: args})
			return v.call(f, this, args...)
		},
	})
	v.instances(real)
	v.rt.Set("RegExp", shown)
	real.Get("prototype").ToObject(v.rt).Set("constructor", shown)
}

// boundCharacters bounds what is spread or walked through of a text or a buffer:
// that makes a value of each character, and each byte.
func (v *vm) boundCharacters() {
	text := v.rt.Get("String").ToObject(v.rt).Get("prototype").ToObject(v.rt)
	for _, proto := range []*goja.Object{text, v.typedArrays()} {
		real, ok := goja.AssertFunction(proto.GetSymbol(goja.SymIterator))
		if !ok {
			continue
		}
		proto.SetSymbol(goja.SymIterator, func(c goja.FunctionCall) goja.Value {
			v.alive()
			if proto == text {
				v.settle(&c.This)
			}
			v.whole(c.This)
			return v.call(real, c.This)
		})
	}
	if v.fn.program.Says("entries", "keys", "values") {
		for _, name := range []string{"entries", "keys", "values"} {
			g := guardedFunction{"", name, fewItems, nil}
			if real, ok := goja.AssertFunction(v.typedArrays().Get(name)); ok {
				v.typedArrays().Set(name, checked(v, g)(real))
			}
		}
	}
}

// typedArrays returns what all typed arrays inherit.
func (v *vm) typedArrays() *goja.Object {
	return v.rt.Get("Uint8Array").ToObject(v.rt).Get("prototype").ToObject(v.rt).Prototype()
}

// wrap replaces a function by one that is made of it.
func (v *vm) wrap(object, name string, with func(real goja.Callable) func(goja.FunctionCall) goja.Value) {
	var o *goja.Object = v.rt.GlobalObject()
	for part := range strings.SplitSeq(object, ".") {
		o = o.Get(part).ToObject(v.rt)
	}
	real, ok := goja.AssertFunction(o.Get(name))
	if !ok {
		return
	}
	o.Set(name, with(real))
}

func checked(v *vm, g guardedFunction) func(goja.Callable) func(goja.FunctionCall) goja.Value {
	return func(real goja.Callable) func(goja.FunctionCall) goja.Value {
		return func(c goja.FunctionCall) goja.Value {
			v.alive()
			g.before(v, &c)
			out := v.call(real, c.This, c.Arguments...)
			if g.after != nil {
				g.after(v, &goja.FunctionCall{This: out})
			}
			return out
		}
	}
}

// call calls a function of the runtime from a function of ours: what it throws
// goes on to whoever called ours.
func (v *vm) call(f goja.Callable, this goja.Value, args ...goja.Value) goja.Value {
	out, err := f(this, args...)
	if thrown, ok := err.(*goja.Exception); ok {
		panic(thrown.Value())
	}
	if err != nil {
		panic(err)
	}
	return out
}

// constructed returns what a class of the runtime made, likewise.
func (v *vm) constructed(o *goja.Object, err error) *goja.Object {
	if thrown, ok := err.(*goja.Exception); ok {
		panic(thrown.Value())
	}
	if err != nil {
		panic(err)
	}
	return o
}

// alive ends a run that was interrupted while it was in a loop of ours.
func (v *vm) alive() {
	if v.over.Load() {
		panic(v.rt.NewGoError(errTime))
	}
}

// tooMuch throws what the language throws for a size that it cannot make.
func (v *vm) tooMuch(what string) {
	e, err := v.rt.New(v.rt.Get("RangeError"), v.rt.ToValue(what+": more than a run may make"))
	if err != nil {
		panic(err)
	}
	panic(e)
}
