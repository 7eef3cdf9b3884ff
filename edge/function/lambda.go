package function

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// Lambda@Edge's limits of what a function makes, in bytes, by the side.
const (
	maxViewerBody = 40 << 10
	maxOriginBody = 1 << 20
)

// serveLambda calls a handler with Lambda@Edge's event: (event, context,
// callback), and takes what it returns, what its promise becomes, or what it
// gives to callback.
func (v *vm) serveLambda(ev *Event, handler goja.Callable) (*Result, error) {
	if handler == nil {
		return nil, bad("it exports no handler, which %s calls", ev.Type)
	}
	var called bool
	var failed, given goja.Value
	callback := v.rt.ToValue(func(c goja.FunctionCall) goja.Value {
		if !called {
			called, failed, given = true, c.Argument(0), c.Argument(1)
		}
		return goja.Undefined()
	})
	x, err := handler(goja.Undefined(), v.lambdaEvent(ev), v.lambdaContext(ev, callback), callback)
	if err != nil {
		return nil, err
	}
	if err = v.wake(func() bool { return called || !pending(x) }); err != nil {
		return nil, err
	}
	if called {
		if failed != nil && !goja.IsNull(failed) && !goja.IsUndefined(failed) {
			return nil, rejected(failed)
		}
		x = given
	} else if x, err = settled(x); err != nil {
		return nil, err
	}
	return v.lambdaReturned(ev, x)
}

// lambdaContext makes the second argument of a handler. The oldest handlers answer
// by its done, succeed and fail.
func (v *vm) lambdaContext(ev *Event, callback goja.Value) *goja.Object {
	ctx := v.rt.NewObject()
	ctx.Set("awsRequestId", ev.Request)
	ctx.Set("functionName", v.fn.Name)
	ctx.Set("functionVersion", "1")
	ctx.Set("memoryLimitInMB", "128")
	ctx.Set("invokedFunctionArn", "arn:aws:lambda:"+ev.Location.Region+":000000000000:function:"+v.fn.Name+":1")
	ctx.Set("callbackWaitsForEmptyEventLoop", true)
	ctx.Set("getRemainingTimeInMillis", func() int64 { return v.limits.Time.Milliseconds() })
	call, _ := goja.AssertFunction(callback)
	ctx.Set("done", callback)
	ctx.Set("fail", callback)
	ctx.Set("succeed", func(c goja.FunctionCall) goja.Value {
		return v.call(call, goja.Undefined(), goja.Null(), c.Argument(0))
	})
	return ctx
}

// lambdaEvent makes {Records: [{cf: {config, request, response}}]}.
func (v *vm) lambdaEvent(ev *Event) *goja.Object {
	rt := v.rt
	config, cf, record, out := rt.NewObject(), rt.NewObject(), rt.NewObject(), rt.NewObject()
	config.Set("distributionDomainName", ev.Domain)
	config.Set("distributionId", ev.Node)
	config.Set("eventType", ev.Type)
	config.Set("requestId", ev.Request)
	cf.Set("config", config)
	cf.Set("request", v.lambdaRequest(ev))
	if ev.Out != nil {
		resp := rt.NewObject()
		resp.Set("status", strconv.Itoa(ev.Out.Status))
		resp.Set("statusDescription", http.StatusText(ev.Out.Status))
		resp.Set("headers", v.lambdaHeaders(ev.Out.Header, ""))
		cf.Set("response", resp)
	}
	record.Set("cf", cf)
	out.Set("Records", rt.NewArray(record))
	return out
}

func (v *vm) lambdaRequest(ev *Event) *goja.Object {
	r, o := &ev.In, v.rt.NewObject()
	o.Set("clientIp", ev.Viewer.String())
	o.Set("method", r.Method)
	o.Set("uri", r.Path)
	o.Set("querystring", r.Query)
	o.Set("headers", v.lambdaHeaders(r.Header, r.Host))
	if b := ev.Body; b != nil {
		body := v.rt.NewObject()
		body.Set("inputTruncated", b.Truncated)
		body.Set("action", "read-only")
		body.Set("encoding", "base64")
		body.Set("data", base64.StdEncoding.EncodeToString(b.Data))
		o.Set("body", body)
	}
	if ev.Origin != nil {
		o.Set("origin", v.lambdaOrigin(ev.Origin))
	}
	return o
}

// lambdaOrigin makes {custom: {...}}, or of a bucket {s3: {...}}.
func (v *vm) lambdaOrigin(in *Origin) *goja.Object {
	c, headers, o := v.rt.NewObject(), v.rt.NewObject(), v.rt.NewObject()
	for name, values := range in.Headers {
		headers.Set(strings.ToLower(name), v.keyed(name, values))
	}
	c.Set("customHeaders", headers)
	c.Set("domainName", in.Domain)
	c.Set("path", in.Path)
	if bucket(in.Domain) {
		c.Set("authMethod", "none")
		c.Set("region", "")
		o.Set("s3", c)
		return o
	}
	c.Set("keepaliveTimeout", 5)
	c.Set("port", in.Port)
	c.Set("protocol", in.Protocol)
	c.Set("readTimeout", wholeSeconds(in.ReadTimeout))
	c.Set("sslProtocols", v.rt.NewArray("TLSv1.2"))
	o.Set("custom", c)
	return o
}

// wholeSeconds is how a function is told a time.
func wholeSeconds(d time.Duration) int { return int(max(d, time.Second) / time.Second) }

// bucket reports whether a name is one of S3's, which is no website's.
func bucket(domain string) bool {
	rest, ok := strings.CutSuffix(strings.TrimSuffix(domain, ".cn"), ".amazonaws.com")
	return ok && (strings.Contains(rest, ".s3.") || strings.Contains(rest, ".s3-") && !strings.Contains(rest, ".s3-website") || strings.HasSuffix(rest, ".s3"))
}

// lambdaHeaders makes {lower-case: [{key, value}]}.
func (v *vm) lambdaHeaders(h http.Header, host string) *goja.Object {
	o := v.rt.NewObject()
	if host != "" {
		o.Set("host", v.keyed("Host", []string{host}))
	}
	for name, values := range h {
		if len(values) > 0 && !hidden(name) {
			o.Set(strings.ToLower(name), v.keyed(name, values))
		}
	}
	return o
}

func (v *vm) keyed(name string, values []string) goja.Value {
	list := make([]any, len(values))
	for i, value := range values {
		one := v.rt.NewObject()
		one.Set("key", name)
		one.Set("value", value)
		list[i] = one
	}
	return v.rt.NewArray(list...)
}
