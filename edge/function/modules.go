package function

import "github.com/dop251/goja"

// provide returns the names that CloudFront's runtime has beside the language's,
// and the modules that require and import find.
func provide() (globals map[string]func(*vm) any, modules map[string]func(*vm) *goja.Object) {
	return map[string]func(*vm) any{
			"console":     (*vm).console,
			"Buffer":      func(v *vm) any { return v.bufferClass() },
			"atob":        func(v *vm) any { return v.atob },
			"btoa":        func(v *vm) any { return v.btoa },
			"TextEncoder": (*vm).textEncoder,
			"TextDecoder": (*vm).textDecoder,

			"process":         (*vm).environment,
			"crypto":          func(v *vm) any { return v.crypto() },
			"structuredClone": func(v *vm) any { return v.node("clone") },
			"queueMicrotask":  func(v *vm) any { return v.node("microtask") },
			"global":          func(v *vm) any { return v.rt.GlobalObject() },
			"setTimeout":      func(v *vm) any { return v.setTimer(false, false) },
			"setInterval":     func(v *vm) any { return v.setTimer(true, false) },
			"setImmediate":    func(v *vm) any { return v.setTimer(false, true) },
			"clearTimeout":    func(v *vm) any { return v.clearTimer },
			"clearInterval":   func(v *vm) any { return v.clearTimer },
			"clearImmediate":  func(v *vm) any { return v.clearTimer },
			"URL":             func(v *vm) any { return v.urlModule().Get("URL") },
			"URLSearchParams": func(v *vm) any { return v.urlModule().Get("URLSearchParams") },
		}, map[string]func(*vm) *goja.Object{
			"crypto":      (*vm).crypto,
			"querystring": (*vm).querystring,
			"buffer":      (*vm).bufferModule,
			"cloudfront":  (*vm).cf,
			"dns":         (*vm).dns,
			"events":      (*vm).events,
			"stream":      (*vm).stream,
			"path":        (*vm).pathModule,
			"timers":      (*vm).timersModule,
			"url":         (*vm).urlModule,
			"util":        (*vm).utilModule,
			"zlib":        (*vm).zlib,
		}
}

func (v *vm) bufferModule() *goja.Object {
	o := v.rt.NewObject()
	o.Set("Buffer", v.bufferClass())
	return o
}

// option returns an argument as a text, or what stands for none.
func option(x goja.Value, or string) string {
	if x == nil || goja.IsUndefined(x) || goja.IsNull(x) || x.String() == "" {
		return or
	}
	return x.String()
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}
