package function

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	_ "embed"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/dop251/goja"
	"github.com/dop251/goja_nodejs/url"
)

//go:embed node.js
var nodeSource string

// nodeProgram makes what stands in JavaScript of Node's modules.
var nodeProgram = goja.MustCompile("node", nodeSource, true)

//go:embed url.js
var urlSource string

// urlProgram makes the class URL.
var urlProgram = goja.MustCompile("url", urlSource, true)

// node returns a part of Node's modules, made when one is first asked for.
func (v *vm) node(part string) goja.Value {
	if v.fromNode == nil {
		f, err := v.rt.RunProgram(nodeProgram)
		if err != nil {
			panic(err)
		}
		make, _ := goja.AssertFunction(f)
		native := v.nativeBytes()
		native.Set("parseQuery", v.parseQuery)
		native.Set("writeQuery", v.writeQuery)
		native.Set("shown", func(c goja.FunctionCall) goja.Value { return v.rt.ToValue(v.shown(c.Argument(0))) })
		v.fromNode = v.call(make, goja.Undefined(), native).ToObject(v.rt)
	}
	return v.fromNode.Get(part)
}

func (v *vm) pathModule() *goja.Object { return v.node("path").ToObject(v.rt) }

// utilModule is of Node's util what functions use.
func (v *vm) utilModule() *goja.Object {
	o := v.node("util").ToObject(v.rt)
	o.Set("TextEncoder", v.textEncoder())
	o.Set("TextDecoder", v.textDecoder())
	return o
}

// events is the class EventEmitter, and stream the class that all of Node's streams
// are of: nothing here has bytes that come later.
func (v *vm) events() *goja.Object { return v.node("events").ToObject(v.rt) }
func (v *vm) stream() *goja.Object { return v.node("stream").ToObject(v.rt) }

func (v *vm) timersModule() *goja.Object {
	o := v.rt.NewObject()
	o.Set("setTimeout", v.setTimer(false, false))
	o.Set("setInterval", v.setTimer(true, false))
	o.Set("setImmediate", v.setTimer(false, true))
	for _, name := range []string{"clearTimeout", "clearInterval", "clearImmediate"} {
		o.Set(name, v.clearTimer)
	}
	return o
}

// urlModule has the classes of the URL standard, and parse and format.
func (v *vm) urlModule() *goja.Object {
	if v.urls == nil {
		module := v.rt.NewObject()
		v.urls = v.node("url").ToObject(v.rt)
		module.Set("exports", v.urls)
		url.Require(v.rt, module)
		f, err := v.rt.RunProgram(urlProgram)
		if err != nil {
			panic(err)
		}
		make, _ := goja.AssertFunction(f)
		v.urls.Set("URLSearchParams", v.guardedParams(v.urls.Get("URLSearchParams").ToObject(v.rt)))
		v.urls.Set("URL", v.call(make, goja.Undefined(), v.urls.Get("URL"), v.urls.Get("URLSearchParams")))
	}
	return v.urls
}

// guardedParams is the class URLSearchParams, which takes texts of some length.
func (v *vm) guardedParams(real *goja.Object) goja.Value {
	make, _ := goja.AssertConstructor(real)
	shown := v.rt.NewProxy(real, &goja.ProxyTrapConfig{Construct: func(_ *goja.Object, args []goja.Value, to *goja.Object) *goja.Object {
		if len(args) > 0 && isText(args[0]) && textLength(args[0]) > maxItems {
			v.tooMuch("URLSearchParams")
		}
		return v.constructed(make(to, args...))
	}})
	v.instances(real)
	return v.rt.ToValue(shown)
}

// nodeVersion is whose modules these are, as far as they go.
const nodeVersion = "v20.0.0"

// authoring is where functions for Lambda@Edge are written, and tried.
const authoring = "us-east-1"

// located tells process.env where the event is.
func (v *vm) located(l Location) {
	if v.env != nil {
		v.env.Set("AWS_REGION", l.Region)
	}
}

// environment is what there is of process: functions have no variables of their
// own at Lambda@Edge either.
func (v *vm) environment() any {
	o, env := v.rt.NewObject(), v.rt.NewObject()
	v.env = env
	env.Set("AWS_REGION", authoring) // until it is known where it runs: see located
	env.Set("AWS_LAMBDA_FUNCTION_NAME", v.fn.Name)
	o.Set("env", env)
	o.Set("version", nodeVersion) // what packages ask before they use what is here
	o.Set("versions", map[string]any{"node": nodeVersion[1:]})
	if v.fn.program.Says("nextTick") {
		o.Set("nextTick", v.node("tick"))
	}
	return o
}

// A codec packs and unpacks, in one of Node's ways.
type codec struct {
	name   string // of what packs
	back   string
	writer func(io.Writer) io.WriteCloser
	reader func(io.Reader) (io.Reader, error)
}

var codecs = []codec{
	{"", "unzip", nil, unzipped},
	{"gzip", "gunzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"deflate", "inflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
	{"deflateRaw", "inflateRaw", rawDeflater, func(r io.Reader) (io.Reader, error) { return flate.NewReader(r), nil }},
	{"brotliCompress", "brotliDecompress", func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
}

// unzipped reads what gzip or deflate made.
func unzipped(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	if head, _ := in.Peek(1); len(head) == 1 && head[0] == 0x1f {
		return gzip.NewReader(in)
	}
	return zlib.NewReader(in)
}

func rawDeflater(w io.Writer) io.WriteCloser {
	z, _ := flate.NewWriter(w, flate.DefaultCompression) // fails for no such level only
	return z
}

// maxPack bounds what is packed or unpacked at once, in bytes: it is work that no
// interrupt ends.
const maxPack = 128 << 10

// zlib is Node's module, as far as it does not stream.
func (v *vm) zlib() *goja.Object {
	o := v.rt.NewObject()
	for _, c := range codecs {
		if c.name != "" {
			v.packing(o, c.name, c.pack)
		}
		v.packing(o, c.back, c.unpack)
	}
	return o
}

// packing sets NAMESync, and NAME with a callback.
func (v *vm) packing(o *goja.Object, name string, do func([]byte) ([]byte, error)) {
	sync := func(c goja.FunctionCall) goja.Value {
		in := v.bytes(c.Argument(0))
		if len(in) > maxPack {
			v.tooMuch(name)
		}
		out, err := do(in)
		if err != nil {
			v.throw("%s: %v", name, err)
		}
		if len(out) > maxPack {
			v.tooMuch(name)
		}
		return v.newBuffer(out)
	}
	o.Set(name+"Sync", sync)
	o.Set(name, func(c goja.FunctionCall) goja.Value {
		callback, ok := goja.AssertFunction(c.Argument(len(c.Arguments) - 1))
		if !ok {
			v.fail("%s: expected a callback", name)
		}
		out, thrown := v.try(func() goja.Value { return sync(c) })
		if thrown != nil {
			return v.call(callback, goja.Undefined(), thrown)
		}
		return v.call(callback, goja.Undefined(), goja.Null(), out)
	})
}

func (c codec) pack(in []byte) ([]byte, error) {
	var b bytes.Buffer
	w := c.writer(&b)
	if _, err := w.Write(in); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func (c codec) unpack(in []byte) ([]byte, error) {
	r, err := c.reader(bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxPack+1))
}
