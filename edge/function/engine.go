package function

import (
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"

	"meridian/internal/script"
)

// A Set is functions that are ready to run. It is fixed; With makes another that
// runs beside it, under the same limits. Its methods may be called by many
// goroutines at once. Make one with New.
type Set struct {
	*engine
	fns map[string]*fn
}

// An engine runs functions.
type engine struct {
	limits  Limits
	deps    Deps
	slots   chan struct{}
	stuck   atomic.Int32   // runs that nobody waits for any more
	burn    int32          // of those, as many hold no slot
	work    sync.WaitGroup // runs
	globals map[string]func(*vm) any
	modules map[string]func(*vm) *goja.Object
	metrics *metrics

	patience time.Duration // less in no program, more where a test has a busy machine
}

// A fn is a function that is ready to run.
type fn struct {
	Source
	program *script.Program
	setup   []func(*vm)  // of each runtime
	lambda  bool         // it takes Lambda@Edge's events, on viewer events too
	stuck   atomic.Int32 // of the engine's, its own
}

// New returns the functions of cfg, ready to run. It fails for one that does not
// compile, or whose code fails before its handler is called.
func New(cfg Config, deps Deps) (*Set, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	boundRegexps()
	e := &engine{limits: cfg.Limits.defaults(), deps: deps, patience: defaultPatience}
	e.slots = make(chan struct{}, e.limits.Runs)
	e.burn = int32(max(1, e.limits.Runs/2))
	e.globals, e.modules = provide()
	var err error
	if e.metrics, err = newMetrics(deps.Metrics); err != nil {
		return nil, err
	}
	return (&Set{engine: e}).With(cfg.Functions)
}

// With returns other functions, ready to run. What is as before is the same one.
func (s *Set) With(sources []Source) (*Set, error) {
	out := &Set{s.engine, map[string]*fn{}}
	for _, src := range sources {
		if was := s.fns[src.Name]; was != nil && reflect.DeepEqual(was.Source, src) {
			out.fns[src.Name] = was
			continue
		}
		f, err := s.load(src)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", src.Name, err)
		}
		out.fns[src.Name] = f
	}
	return out, nil
}

func (l Limits) defaults() Limits {
	orDefault(&l.Time, 4*time.Millisecond)
	orDefault(&l.Memory, 32<<20)
	orDefault(&l.Depth, 1000)
	orDefault(&l.Console, 10<<10)
	orDefault(&l.Runs, max(2, runtime.GOMAXPROCS(0)))
	return l
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Has reports whether there is a function of that name.
func (s *Set) Has(name string) bool { return s != nil && s.fns[name] != nil }

// Generated is CloudFront's word for a response that a function made, as its logs
// have it.
func (s *Set) Generated(name string) string {
	if s.Has(name) && s.fns[name].lambda {
		return "LambdaGeneratedResponse"
	}
	return "FunctionGeneratedResponse"
}

// Says reports whether a function's source has a word.
func (s *Set) Says(name, word string) bool { return s.Has(name) && s.fns[name].program.Says(word) }

// closeWait bounds how long Close waits for runs that do not end.
const closeWait = 2 * time.Second

// Close waits for runs that nobody waits for any more, of this set and all that
// With made of it.
func (e *engine) Close() {
	done := make(chan struct{})
	go func() { e.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(closeWait):
		e.deps.Log.Error("a run of an edge function did not end")
	}
}

// load compiles a function and runs what comes before its handler, once, to see
// whether it has one.
func (e *engine) load(s Source) (*fn, error) {
	p, err := script.Compile(s.File, s.Code, s.Runtime.MaxCode())
	if err != nil {
		return nil, err
	}
	f := &fn{Source: s, program: p, lambda: s.Runtime == LambdaEdge}
	f.setup = e.setupOf(f)
	v := e.newVM(f)
	v.loading = true
	err = guarded(func() error {
		t := time.AfterFunc(loadTime, func() {
			v.over.Store(true)
			v.rt.Interrupt(errTime)
		})
		defer t.Stop()
		own, exported, err := v.handlers("")
		switch {
		case err != nil:
			return told(err)
		case own == nil && exported == nil:
			return &script.Error{File: p.File, Text: "no handler: expected function handler(event), or exports.handler"}
		case s.Runtime == CloudFront && own == nil:
			return &script.Error{File: p.File, Text: "no function handler(event), which " + string(CloudFront) + " calls"}
		case s.Runtime == LambdaEdge && exported == nil:
			return &script.Error{File: p.File, Text: "no exports.handler, which " + string(LambdaEdge) + " calls"}
		case s.Runtime == "":
			f.lambda = exported != nil && (own == nil || p.Says("Records"))
		}
		return nil
	})
	if err != nil {
		return nil, explain(err)
	}
	return f, nil
}

// loadTime bounds what comes before a handler, when it is tried.
const loadTime = time.Second

// handlers runs a function's source, and returns what it declares as handler
// and what it exports as one for an event; nil if it does not.
func (v *vm) handlers(event string) (own, exported goja.Callable, err error) {
	f, err := v.rt.RunProgram(v.fn.program.Code)
	if err != nil {
		return nil, nil, err
	}
	body, _ := goja.AssertFunction(f)
	if !v.fn.program.Says("exports", "module") {
		h, err := body(goja.Undefined(), v.requirer(), goja.Undefined(), goja.Undefined(), v.grower())
		own, _ = goja.AssertFunction(h)
		return own, nil, err
	}
	module, exports := v.rt.NewObject(), v.rt.NewObject()
	module.Set("exports", exports)
	h, err := body(exports, v.requirer(), module, exports, v.grower())
	if err != nil {
		return nil, nil, err
	}
	own, _ = goja.AssertFunction(h)
	if m, ok := module.Get("exports").(*goja.Object); ok {
		exported = exportedBy(m, event)
	}
	return own, exported, nil
}

func (v *vm) requirer() goja.Value {
	if !v.fn.program.Says("require") {
		return goja.Undefined()
	}
	return v.rt.ToValue(v.require)
}

func (v *vm) grower() goja.Value {
	if !v.fn.program.Grows {
		return goja.Undefined()
	}
	return v.rt.ToValue(v.grown)
}

// setupOf returns what is done to each runtime of a function. It has only those
// names beside the language's own that the source says: each costs something.
func (e *engine) setupOf(f *fn) (out []func(*vm)) {
	p := f.program
	for name, make := range e.globals {
		if p.Says(name) && (!ofNode[name] || f.Runtime == LambdaEdge || p.Says("exports")) {
			out = append(out, func(v *vm) { v.rt.Set(name, make(v)) })
		}
	}
	if p.Says("bytesFrom", "toUTF8", "fromUTF8", "toBytes", "fromBytes") {
		out = append(out, func(v *vm) {
			strings, _ := goja.AssertFunction(v.node("strings"))
			v.call(strings, goja.Undefined())
		})
	}
	if p.Says("toGMTString") { // ECMAScript, annex B.2.3.3, which the engine has not
		out = append(out, func(v *vm) {
			of := v.rt.Get("Date").ToObject(v.rt).Get("prototype").ToObject(v.rt)
			of.DefineDataProperty("toGMTString", of.Get("toUTCString"), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
		})
	}
	switch node := f.Runtime == LambdaEdge || p.Says("exports"); {
	case p.Says("toLocaleString") && node:
		out = append(out, american)
	case p.Says("toLocaleString", "toLocaleDateString", "toLocaleTimeString") && !node:
		out = append(out, unlocalized)
	}
	if p.Says("eval", "globalThis") {
		out = append(out, func(v *vm) { v.rt.GlobalObject().Delete("eval") })
	}
	if p.Says("Function", "constructor", "globalThis", "getPrototypeOf", "__proto__") {
		out = append(out, (*vm).forbid)
	}
	return append(out, guardsOf(p, p.Says, false)...)
}

// ofNode are the names that CloudFront's own runtime has not.
var ofNode = map[string]bool{
	"process": true, "global": true, "crypto": true, "structuredClone": true, "queueMicrotask": true, "setTimeout": true, "setInterval": true, "setImmediate": true,
	"clearTimeout": true, "clearInterval": true, "clearImmediate": true,
}

// exportedBy returns the handler among exports for an event: the one of that name
// or, as the setting of a Lambda function may have another, the only function. One
// source may export a function for each event, by the event's name; "" stands for
// any event.
func exportedBy(exports *goja.Object, event string) goja.Callable {
	var all []goja.Callable
	found := map[string]goja.Callable{}
	for _, name := range exports.Keys() {
		if f, ok := goja.AssertFunction(exports.Get(name)); ok {
			all, found[name] = append(all, f), f
		}
	}
	names := []string{"handler", "lambdaHandler"}
	for _, e := range []string{ViewerRequest, ViewerResponse, OriginRequest, OriginResponse} {
		if event == "" || event == e {
			side, what, _ := strings.Cut(e, "-")
			names = append(names, side+strings.ToUpper(what[:1])+what[1:])
		}
	}
	for _, name := range names {
		if f := found[name]; f != nil {
			return f
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return nil
}
