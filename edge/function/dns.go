package function

import "github.com/dop251/goja"

// dns is the module dns, as far as Node's is asked for addresses and for what a
// name stands for. It answers from what the program knows, and asks nobody.
func (v *vm) dns() *goja.Object {
	o := v.rt.NewObject()
	for _, kind := range []string{"resolve4", "resolve6", "resolveCname", "resolve", "lookup"} {
		o.Set(kind, func(c goja.FunctionCall) goja.Value { return v.resolve(kind, c) })
	}
	promises := v.rt.NewObject()
	for _, name := range o.Keys() {
		promises.Set(name, o.Get(name))
	}
	o.Set("promises", promises)
	return o
}

// resolve answers one question: to a callback, if there is one, and as a promise.
func (v *vm) resolve(kind string, c goja.FunctionCall) goja.Value {
	var callback goja.Callable
	if n := len(c.Arguments); n > 0 {
		callback, _ = goja.AssertFunction(c.Arguments[n-1])
	}
	if isText(c.Argument(1)) && kind == "resolve" {
		kind = map[string]string{"A": "resolve4", "AAAA": "resolve6", "CNAME": "resolveCname"}[c.Argument(1).String()]
	}
	answer, thrown := v.try(func() goja.Value { return v.resolved(kind, c.Argument(0).String()) })
	if callback == nil {
		return v.promise(func() goja.Value {
			if thrown != nil {
				panic(thrown)
			}
			return answer
		})
	}
	if thrown != nil {
		return v.call(callback, goja.Undefined(), thrown)
	}
	return v.call(callback, goja.Undefined(), goja.Null(), answer)
}

// resolved returns what a question is answered, or throws Node's ENOTFOUND.
func (v *vm) resolved(kind, name string) goja.Value {
	var r Resolved
	ok := false
	if v.deps.Resolve != nil && v.in != nil {
		r, ok = v.deps.Resolve(name)
	}
	var out []any
	switch kind {
	case "resolveCname":
		if r.Canonical != "" {
			out = append(out, r.Canonical)
		}
	case "resolve6":
		for _, a := range r.Addresses {
			if a.Is6() && !a.Is4In6() {
				out = append(out, a.String())
			}
		}
	default:
		for _, a := range r.Addresses {
			if a.Is4() {
				out = append(out, a.String())
			}
		}
	}
	if !ok || len(out) == 0 {
		e, err := v.rt.New(v.rt.Get("Error"), v.rt.ToValue(kind+" ENOTFOUND "+oneLine(name)))
		if err != nil {
			panic(err)
		}
		e.Set("code", "ENOTFOUND")
		panic(e)
	}
	if kind == "lookup" {
		one := v.rt.NewObject()
		one.Set("address", out[0])
		one.Set("family", 4)
		return one
	}
	return v.rt.NewArray(out...)
}
