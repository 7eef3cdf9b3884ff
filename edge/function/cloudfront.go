package function

import (
	"encoding/json"

	"github.com/dop251/goja"

	"meridian/internal/kv"
)

// maxNote bounds what a run leaves for the access log, in bytes.
const maxNote = 800

// cf is the module cloudfront.
func (v *vm) cf() *goja.Object {
	o := v.rt.NewObject()
	o.Set("kvs", v.kvs)
	v.origins(o)
	at := v.rt.NewObject() // is empty elsewhere
	if v.in != nil && v.in.Type == ViewerRequest {
		at.Set("name", v.in.Location.Name)
		at.Set("serverIp", v.in.Location.Server)
		at.Set("region", v.in.Location.Region)
	}
	o.Set("edgeLocation", at)
	if v.fn.program.Says("logCustomData") {
		o.Set("logCustomData", func(c goja.FunctionCall) goja.Value {
			v.noted = c.Argument(0).String()
			v.noted = v.noted[:min(len(v.noted), maxNote)]
			return goja.Undefined()
		})
	}
	if v.fn.program.Says("cwt") {
		o.Set("cwt", v.cwt())
	}
	return o
}

// kvs opens the function's store. Its argument, CloudFront's id of it, may name
// it and need not: a function has one.
func (v *vm) kvs(goja.FunctionCall) goja.Value {
	if v.fn.Store == "" {
		v.throw("the function has no key-value store; edgeFunctions.%s.kvs names one", v.fn.Name)
	}
	var now *kv.Snapshot
	if v.deps.Store != nil && !v.loading {
		now = v.deps.Store(v.fn.Store)
	}
	o := v.rt.NewObject()
	o.Set("get", func(c goja.FunctionCall) goja.Value {
		return v.promise(func() goja.Value {
			key := c.Argument(0).String()
			value, ok := now.Get(key)
			if !ok {
				v.throw("KeyNotFound: there is no key %q", oneLine(key))
			}
			return v.formatted(value, c.Argument(1))
		})
	})
	o.Set("exists", func(c goja.FunctionCall) goja.Value {
		return v.promise(func() goja.Value { _, ok := now.Get(c.Argument(0).String()); return v.rt.ToValue(ok) })
	})
	o.Set("count", func(goja.FunctionCall) goja.Value {
		return v.promise(func() goja.Value { return v.rt.ToValue(now.Len()) })
	})
	o.Set("meta", func(goja.FunctionCall) goja.Value { return v.promise(func() goja.Value { return v.meta(now) }) })
	return o
}

func (v *vm) meta(s *kv.Snapshot) goja.Value {
	o := v.rt.NewObject()
	if s != nil {
		o.Set("creationDateTime", s.Created.UTC().Format("2006-01-02T15:04:05.000Z"))
		o.Set("lastUpdatedDateTime", s.Updated.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	o.Set("keyCount", s.Len())
	return o
}

// formatted returns a value as {format} asks for it.
func (v *vm) formatted(value string, options goja.Value) goja.Value {
	format := "string"
	if o, ok := options.(*goja.Object); ok && given(o, "format") {
		format = o.Get("format").String()
	}
	switch format {
	case "string":
		return v.rt.ToValue(value)
	case "bytes":
		return v.newBuffer([]byte(value))
	case "json":
		if !json.Valid([]byte(value)) {
			v.throw("the value is not JSON")
		}
		in := v.rt.Get("JSON").ToObject(v.rt)
		parse, _ := goja.AssertFunction(in.Get("parse"))
		return v.call(parse, in, v.rt.ToValue(value))
	}
	v.throw("format %q: expected string, json or bytes", oneLine(format))
	return nil
}

// promise returns a promise of what do returns, or throws.
func (v *vm) promise(do func() goja.Value) goja.Value {
	p, resolve, reject := v.rt.NewPromise()
	if x, thrown := v.try(do); thrown != nil {
		reject(thrown)
	} else {
		resolve(x)
	}
	return v.rt.ToValue(p)
}

// try returns what do returns, or what it throws.
func (v *vm) try(do func() goja.Value) (out, thrown goja.Value) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *goja.Object:
			thrown = p
		default:
			panic(p)
		}
	}()
	return do(), nil
}
