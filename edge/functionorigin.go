package edge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"meridian"
	"meridian/edge/function"
	"meridian/edge/origin"
)

// dispatch sends the request to the origin, with the behaviour's functions
// before and after. What went by the shield has met them there.
func (x *exchange) dispatch() (*http.Response, error) {
	if resp := x.viaShield(x.left()); resp != nil {
		return resp, nil
	}
	resp, err := x.originRequest()
	if resp != nil || err != nil {
		return resp, err
	}
	if resp, err = x.sendOn(); err != nil {
		return nil, err
	}
	return x.originResponse(resp)
}

// originRequest runs the behaviour's function on what goes to the origin. A
// response that it makes is taken for the origin's.
func (x *exchange) originRequest() (*http.Response, error) {
	name := x.behavior.Functions.OriginRequest
	if name == "" {
		return nil, nil
	}
	ev := x.event(function.OriginRequest)
	ev.In.Path, ev.In.Query, ev.In.HasQuery, ev.In.Header = x.sent.path, x.sent.query, x.sentQuery, x.header
	ev.In.Host = x.host()
	ev.Origin = x.facing()
	if x.custom != nil {
		if ev.In.Host = ev.Origin.Host; ev.In.Host == "" {
			ev.In.Host = ev.Origin.Domain
		}
	}
	if x.functions.Says(name, "body") {
		if err := x.include(ev); err != nil {
			return nil, err
		}
	}
	out, err := x.runs(name, ev)
	switch {
	case err != nil:
		return nil, err
	case out.Response != nil:
		x.choice = origin.Choice{Cause: origin.Named, Why: "the function " + name + " answered"}
		x.began, x.wrote = x.deps.Now(), x.functions.Generated(name)
		return x.made(out.Response), nil
	}
	return nil, x.onward(out)
}

// onward takes what a function made of what goes to the origin.
func (x *exchange) onward(out *function.Result) error {
	x.header = out.Request.Header
	x.sent, x.sentQuery = target{out.Request.Path, out.Request.Query}, out.Request.HasQuery
	if out.Body != nil {
		x.substitute(out.Body.Data)
	}
	if out.Route == nil {
		return nil
	}
	sent, hasQuery := x.sent, x.sentQuery
	if err := x.take(out.Route); err != nil {
		return fmt.Errorf("%w: %w", errFunction, err)
	}
	x.remake()
	x.sent, x.sentQuery = sent, hasQuery
	return nil
}

// facing describes the origin to a function: the configured one, or the region
// that is nearest, by the name that the zone gives it.
func (x *exchange) facing() *function.Origin {
	o := &function.Origin{Port: 443, Protocol: "https", ReadTimeout: 30 * time.Second}
	if x.custom == nil {
		region := nearest(x.deps.Map.Now(), x.cfg.Place)
		if p, ok := x.way.(pinned); ok {
			region = string(p.region)
		}
		o.Domain = region + ".origin." + x.cfg.Domain
		return o
	}
	cfg := x.custom.Config()
	o.Domain, o.Host, o.Headers, o.Protocol = cfg.URL.Hostname(), cfg.HostHeader, cfg.Headers, cfg.URL.Scheme
	o.Path = strings.TrimSuffix(cfg.URL.EscapedPath(), "/")
	if o.Protocol == "http" {
		o.Port = 80
	}
	if n, err := strconv.Atoi(cfg.URL.Port()); err == nil {
		o.Port = n
	}
	if cfg.ResponseTimeout > 0 {
		o.ReadTimeout = cfg.ResponseTimeout
	}
	return o
}

// include shows a function the request's body, as far as the edge can hold it.
func (x *exchange) include(ev *function.Event) error {
	ev.Body = &function.Body{}
	if x.body == nil {
		return nil
	}
	buf := make([]byte, x.body.keep)
	n, err := io.ReadFull(x.body.reader(), buf)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	case err != nil:
		return err
	default:
		ev.Body.Truncated = x.r.ContentLength != int64(n)
	}
	ev.Body.Data = buf[:n]
	return nil
}

// substitute puts a body in place of the viewer's.
func (x *exchange) substitute(b []byte) {
	r := x.r.WithContext(x.r.Context())
	r.ContentLength = int64(len(b))
	x.r = r
	x.body = &body{src: bytes.NewReader(b), max: max(x.cfg.Limits.Body, int64(len(b))), keep: max(x.cfg.Limits.Hold, int64(len(b)))}
	x.bodyHash = nil
	if x.cfg.BindBody {
		x.bodyHash, _ = x.body.hash() // from memory: cannot fail
	}
}

// made makes a response of what a function returned, as if an origin had sent it.
func (x *exchange) made(r *function.Response) *http.Response {
	resp := &http.Response{
		StatusCode: r.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: r.Header,
		Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body)), Request: x.r,
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		delete(resp.Header, name)
	}
	resp.Header.Set("Content-Length", strconv.Itoa(len(r.Body)))
	if resp.Header.Get("Date") == "" {
		resp.Header.Set("Date", x.deps.Now().UTC().Format(http.TimeFormat))
	}
	if x.r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp
}

// originResponse runs the behaviour's function on what an origin answered, of
// whatever status.
func (x *exchange) originResponse(resp *http.Response) (*http.Response, error) {
	name := x.behavior.Functions.OriginResponse
	if name == "" {
		return resp, nil
	}
	ev := x.event(function.OriginResponse)
	ev.In.Path, ev.In.Query, ev.In.HasQuery, ev.In.Header = x.sent.path, x.sent.query, x.sentQuery, x.header
	ev.Origin = x.facing()
	ev.Out = &function.Response{Status: resp.StatusCode, Header: resp.Header}
	out, err := x.runs(name, ev)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if !out.Response.Replaced {
		resp.StatusCode, resp.Header = out.Response.Status, out.Response.Header
		return resp, nil
	}
	resp.Body.Close()
	delete(out.Response.Header, "Content-Range")
	out.Response.Status = whole(out.Response.Status)
	now := x.made(out.Response)
	now.Proto, now.ProtoMajor, now.ProtoMinor = resp.Proto, resp.ProtoMajor, resp.ProtoMinor
	return now, nil
}

// left returns the time until the origin's response must have begun.
func (x *exchange) left() time.Duration {
	limit := x.cfg.Timeouts.FirstByte
	if x.limit > 0 {
		limit = x.limit
	}
	return x.start.Add(limit).Sub(x.deps.Now())
}

// resolve answers the functions' module dns from the map, as the zone answers
// (package dns): origin.DOMAIN stands for the best region's name.
func (e *Edge) resolve(name string) (function.Resolved, bool) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "origin."+strings.ToLower(e.cfg.Domain) {
		region := e.best()
		return function.Resolved{Canonical: string(region) + ".origin." + e.cfg.Domain, Addresses: e.addresses(region)}, region != ""
	}
	label, ok := strings.CutSuffix(name, ".origin."+strings.ToLower(e.cfg.Domain))
	if !ok {
		return function.Resolved{}, false
	}
	r, ok := e.deps.Map.Now().Region(meridian.Region(label))
	return function.Resolved{Addresses: e.addresses(r.Name)}, ok
}

// best returns the region that this edge would choose, and changes nothing.
func (e *Edge) best() meridian.Region {
	v := origin.View{Place: e.cfg.Place, Map: e.deps.Map.Now()}
	for _, r := range v.Map.Regions {
		s, why := e.origin.State(r.Name)
		v.Own = append(v.Own, origin.Own{Region: r.Name, RTT: -1, State: s, Why: why})
	}
	return origin.Choose(v).Region
}

func (e *Edge) addresses(region meridian.Region) (out []netip.Addr) {
	if r, ok := e.deps.Map.Now().Region(region); ok && r.Gateway.IsValid() {
		out = append(out, r.Gateway.Addr())
	}
	return out
}
