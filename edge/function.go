package edge

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/edge/function"
	"meridian/topology"
)

// Functions names what a behaviour runs, by the event; "" runs nothing.
type Functions struct {
	ViewerRequest, ViewerResponse string
	OriginRequest, OriginResponse string
}

// functionFailed is what a viewer gets where a function failed: as at CloudFront
// 502 if it returned what it may not, else 503. The log and the trace have the
// reason.
func functionFailed(err error) answer {
	var e *function.Error
	switch {
	case !errors.As(err, &e): // what it asked for cannot be done
		return answer{status: http.StatusBadGateway, code: "FunctionValidationError", message: "An edge function failed."}
	case e.Result == "invalid":
		return answer{status: http.StatusBadGateway, code: e.Code(), message: "An edge function failed."}
	}
	return answer{status: http.StatusServiceUnavailable, code: e.Code(), message: "An edge function failed."}
}

// checkFunctions refuses behaviours that name functions which are not there.
func (c Config) checkFunctions() error {
	var have []string
	for _, f := range c.Functions.Functions {
		have = append(have, f.Name)
	}
	for _, b := range c.Behaviors {
		for _, name := range []string{b.Functions.ViewerRequest, b.Functions.ViewerResponse, b.Functions.OriginRequest, b.Functions.OriginResponse} {
			if name != "" && !slices.Contains(have, name) {
				return fmt.Errorf("edge %q: behavior %s: no edge function is named %q", c.Node, b.Path, name)
			}
		}
	}
	return nil
}

// event describes the request to a function.
func (x *exchange) event(kind string) *function.Event {
	ev := &function.Event{
		Type: kind, Request: x.id, Domain: x.cfg.Domain, Node: x.cfg.Node, Location: x.location(),
		In: function.Request{
			Method: x.r.Method, Path: x.at.path, Query: x.at.query, HasQuery: x.hasQuery, Host: x.r.Host, Header: x.r.Header,
		},
	}
	if from, err := netip.ParseAddrPort(x.r.RemoteAddr); err == nil {
		ev.Viewer = from.Addr().Unmap()
	}
	return ev
}

// location says where this edge stands: its place, and the nearest region.
func (x *exchange) location() function.Location {
	l := function.Location{Name: string(x.cfg.Place), Region: nearest(x.deps.Map.Now(), x.cfg.Place)}
	if at, ok := x.r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		l.Server, _, _ = net.SplitHostPort(at.String())
	}
	return l
}

// nearest returns the region that a miss is expected to go to.
func nearest(m *topology.Snapshot, place meridian.Region) (best string) {
	least := int64(-1)
	for _, r := range m.Regions {
		d, ok := m.RTT(place, r.Name)
		if r.Name == place {
			d, ok = 0, true
		}
		if ok && r.Healthy && (least < 0 || int64(d) < least) {
			best, least = string(r.Name), int64(d)
		}
	}
	return best
}

// runs runs a function for an event, and notes in the trace what became of it.
func (x *exchange) runs(name string, ev *function.Event) (*function.Result, error) {
	_, span := x.deps.Tracer.Start(x.r.Context(), "function", trace.WithAttributes(attribute.String("function", name), attribute.String("event", ev.Type)))
	defer span.End()
	out, err := x.functions.Serve(x.r.Context(), name, ev)
	if err != nil {
		span.SetAttributes(attribute.String("error", err.Error()))
		return nil, fmt.Errorf("%w: %w", errFunction, err)
	}
	switch ev.Type {
	case function.ViewerRequest:
		x.notes[0] = out.Note
	case function.ViewerResponse:
		x.notes[1] = out.Note
	}
	return out, nil
}

// errFunction marks the failure of a function.
var errFunction = errors.New("edge function")

// viewerRequest runs the behaviour's function on the request as the viewer sent
// it, and reports whether that answered it.
func (x *exchange) viewerRequest() (answered bool) {
	name := x.behavior.Functions.ViewerRequest
	if name == "" {
		return false
	}
	x.claims = overrides(x.r.Header)
	out, err := x.runs(name, x.event(function.ViewerRequest))
	switch {
	case err != nil:
		x.err = err
		x.answer(functionFailed(err))
		return true
	case out.Response != nil:
		x.wrote = x.functions.Generated(name)
		x.generated(out.Response)
		return true
	}
	if err := x.goesOn(out); err != nil {
		x.err = fmt.Errorf("%w: function %s: %w", errFunction, name, err)
		x.answer(functionFailed(err))
		return true
	}
	return false
}

// goesOn takes what a function made of the request.
func (x *exchange) goesOn(out *function.Result) error {
	req := out.Request
	x.r = x.r.WithContext(x.r.Context())
	x.r.Header = req.Header
	if req.Path != x.at.path || req.Query != x.at.query || req.HasQuery != x.hasQuery {
		x.asked = x.at
		x.retarget(target{req.Path, req.Query}, req.HasQuery)
	}
	if out.Route != nil {
		return x.take(out.Route)
	}
	return nil
}

// retarget makes the request one for another path and query. The behaviour stays.
func (x *exchange) retarget(t target, hasQuery bool) {
	x.at, x.hasQuery = t, hasQuery
	x.sent = t
	x.sent.query = x.policy.query(t.query)
	x.sentQuery = hasQuery && (x.sent.query != "" || t.query == "")
}

// generated answers with a response that a function made.
func (x *exchange) generated(resp *function.Response) {
	maps.Copy(x.w.Header(), resp.Header)
	x.replace(resp)
}

// replace sends a response with the body that a function gave it.
func (x *exchange) replace(resp *function.Response) {
	h := x.w.Header()
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Content-Range"} {
		delete(h, name)
	}
	resp.Status = whole(resp.Status)
	asSaid(h, resp.Status)
	bodyless := resp.Status == http.StatusNoContent || resp.Status == http.StatusNotModified
	if !bodyless {
		h.Set("Content-Length", strconv.Itoa(len(resp.Body)))
	}
	x.w.WriteHeader(resp.Status)
	if x.r.Method != http.MethodHead && !bodyless {
		x.w.Write(resp.Body)
	}
}

// whole returns the status of a body that a function put in place of a part: it is
// a part of nothing (RFC 9110, section 15.3.7).
func whole(status int) int {
	if status == http.StatusPartialContent {
		return http.StatusOK
	}
	return status
}

// viewerResponse runs the behaviour's function on a response whose headers are
// ready. It returns the status to be told, and reports whether it has answered
// itself. CloudFront runs none on errors, nor on pages that stand for them.
func (x *exchange) viewerResponse(status int) (told int, answered bool) {
	name := x.behavior.Functions.ViewerResponse
	if name == "" || status >= 400 || x.as != 0 {
		return status, false
	}
	h, policy := x.w.Header(), x.w.before
	x.w.ready() // as at CloudFront it sees what the behaviour's policy says, and may say something else
	ev := x.event(function.ViewerResponse)
	own := http.Header{}
	for _, kept := range []string{"X-Meridian-Request", "X-Meridian-Edge", headerRollout, "Trailer"} {
		if v, ok := h[kept]; ok {
			own[kept] = v
			delete(h, kept)
		}
	}
	ev.Out = &function.Response{Status: status, Header: h}
	out, err := x.runs(name, ev)
	if err != nil {
		clear(h)
		maps.Copy(h, own)
		delete(h, "Trailer")
		x.w.before = policy // of the edge's own answer
		x.err = err
		x.answer(functionFailed(err))
		return 0, true
	}
	now := out.Response
	clear(h)
	maps.Copy(h, now.Header)
	maps.Copy(h, own)
	if now.Replaced {
		x.replace(now)
		return now.Status, true
	}
	if now.Status == http.StatusNoContent || now.Status == http.StatusNotModified {
		x.replace(&function.Response{Status: now.Status})
		return now.Status, true
	}
	return now.Status, false
}
