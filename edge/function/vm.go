package function

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"
)

// A vm is the runtime of one run, with what the run has done so far.
type vm struct {
	*engine
	fn      *fn
	rt      *goja.Runtime
	now     time.Time // all that the run sees of it
	loading bool      // no event is there yet
	over    atomic.Bool

	in             *Event
	route          *Route        // what the run said of the origin
	lazies         []lazyObject  // of the event
	describe       goja.Callable // Object.getOwnPropertyDescriptor, where a length may be computed
	guarded        bool          // whatever the source says
	made           int64         // bytes, of Limits.Memory
	lines          []string
	logged         int
	noted          string                  // for the access log, its last word
	loaded         map[string]*goja.Object // modules
	buffer         *goja.Object            // the class Buffer, once it was asked for
	env            *goja.Object            // process.env
	fromNode, urls *goja.Object            // likewise, of node.js
	keys           map[*goja.Object]any    // KeyObjects of Node's crypto
	keyClass       *goja.Object
	timers         []*timer
	lastTimer      int64
}

// newVM makes a runtime, and does to it what the function's source asks for.
func (e *engine) newVM(f *fn) *vm {
	v := &vm{engine: e, fn: f, rt: goja.New(), now: e.deps.Now()}
	v.rt.SetMaxCallStackSize(e.limits.Depth)
	v.rt.SetTimeSource(func() time.Time { return v.now })
	for _, set := range f.setup {
		set(v)
	}
	return v
}

func (v *vm) console() any {
	o := v.rt.NewObject()
	for _, name := range []string{"log", "info", "warn", "error", "debug", "dir", "dump", "group", "groupCollapsed", "table", "trace"} {
		if name == "log" || v.fn.program.Says(name) {
			o.Set(name, v.log)
		}
	}
	for _, name := range []string{"groupEnd", "time", "timeEnd", "timeLog"} { // the time stands still
		if v.fn.program.Says(name) {
			o.Set(name, func() {})
		}
	}
	return o
}

// log takes one line for the node's log. What is too much is left out, and said.
func (v *vm) log(c goja.FunctionCall) goja.Value {
	var parts []string
	for _, a := range c.Arguments {
		parts = append(parts, v.shown(a))
	}
	line := strings.Join(parts, " ")
	if left := v.limits.Console - v.logged; len(line) > left {
		line = line[:max(left, 0)]
	}
	if v.logged += len(line); line != "" || len(c.Arguments) > 0 && v.logged < v.limits.Console {
		v.lines = append(v.lines, line)
	}
	return goja.Undefined()
}

// shown returns what a value looks like in a log.
func (v *vm) shown(x goja.Value) string {
	o, ok := x.(*goja.Object)
	if !ok {
		return x.String()
	}
	if o.ClassName() == "Error" {
		return o.String()
	}
	if j, err := v.stringify(o); err == nil && !goja.IsUndefined(j) {
		return j.String()
	}
	return "[" + o.ClassName() + "]"
}

func (v *vm) stringify(o goja.Value) (goja.Value, error) {
	json := v.rt.Get("JSON").ToObject(v.rt)
	f, ok := goja.AssertFunction(json.Get("stringify"))
	if !ok {
		return nil, errors.New("JSON.stringify is no function any more")
	}
	return f(json, o, v.rt.ToValue(v.counter(nil, nil)))
}

// fail throws what JavaScript calls a TypeError.
func (v *vm) fail(format string, args ...any) {
	panic(v.rt.NewTypeError(fmt.Sprintf(format, args...)))
}

// throw throws an Error of a message.
func (v *vm) throw(format string, args ...any) {
	panic(v.newError("Error", fmt.Sprintf(format, args...)))
}

// newError makes an error of one of the language's kinds.
func (v *vm) newError(kind, message string) *goja.Object {
	e, err := v.rt.New(v.rt.Get(kind), v.rt.ToValue(message))
	if err != nil {
		panic(err)
	}
	return e
}

// atob and btoa are those of the HTML standard (section 8.3): texts of bytes.
func (v *vm) atob(c goja.FunctionCall) goja.Value {
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\n\f\r", r) {
			return -1
		}
		return r
	}, c.Argument(0).String())
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		v.fail("atob: the text is not base64")
	}
	return v.rt.ToValue(latin1(b))
}

func (v *vm) btoa(c goja.FunctionCall) goja.Value {
	text := c.Argument(0).String()
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			v.fail("btoa: the text has a character above U+00FF")
		}
		b = append(b, byte(r))
	}
	return v.rt.ToValue(base64.StdEncoding.EncodeToString(b))
}

// latin1 returns a text with a character for each byte.
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// require returns a module, made when it is first asked for.
func (v *vm) require(c goja.FunctionCall) goja.Value {
	name := strings.TrimPrefix(c.Argument(0).String(), "node:")
	if m := v.loaded[name]; m != nil {
		return m
	}
	make := v.engine.modules[name]
	if make == nil {
		v.throw("Cannot find module %q; there are buffer, cloudfront, crypto, dns, events, path, querystring, stream, timers, url, util and zlib", name)
	}
	m := make(v)
	m.DefineDataProperty("default", m, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	if v.loaded == nil {
		v.loaded = map[string]*goja.Object{}
	}
	v.loaded[name] = m
	return m
}

// flush hands the lines of the run to the node's log.
func (v *vm) flush() {
	for _, line := range v.lines {
		v.deps.Log.Info("edge function says", "function", v.fn.Name, "request", v.in.Request, "text", line)
	}
}
