package edge

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"meridian"
	"meridian/internal/framing"
)

// An answer is what the edge itself says to a client, in place of a region.
type answer struct {
	status  int
	code    string // CloudFront's word for it; "" if it has none
	message string
	allow   string // of a 405
	after   int    // seconds, of a 503
}

// byKind turns kinds of failure into the edge's own answers. What a region
// answered, its 503 and 504 too, never passes through here.
var byKind = map[meridian.Kind]answer{
	meridian.Invalid:     {status: http.StatusBadRequest, message: "The request is malformed."},
	meridian.Forbidden:   {status: http.StatusForbidden, code: "AccessDenied", message: "Access denied"},
	meridian.TooLarge:    {status: http.StatusRequestEntityTooLarge, message: "The request's body is too large."},
	meridian.Timeout:     {status: http.StatusGatewayTimeout, message: "The region did not answer in time."},
	meridian.Canceled:    {status: statusClientGone, message: "The client went away."},
	meridian.Unavailable: {status: http.StatusServiceUnavailable, message: "No region could be reached.", after: 1},
	meridian.Malformed:   {status: http.StatusBadGateway, message: "The region broke off before it answered. The request may have been executed."},
	meridian.Internal:    {status: http.StatusInternalServerError, message: "The edge failed."},
}

// statusClientGone stands in logs for a request that nobody waited for.
const statusClientGone = 499

// neverTaken are methods for a proxy itself, and those that show a request, with
// its credentials, to the page that made it: TRACK is what IIS calls TRACE.
var neverTaken = []string{http.MethodConnect, http.MethodTrace, "TRACK"}

// What the edge refuses before any region sees it.
var (
	refuseMethod   = answer{status: http.StatusMethodNotAllowed, message: "The edge does not take this method.", allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}
	refuseHeader   = answer{status: http.StatusRequestHeaderFieldsTooLarge, message: "The request's headers are too large."}
	refuseTunnel   = answer{status: http.StatusNotImplemented, message: "The API's functions take no WebSocket connections. A behaviour of the edge can send this path to an origin that does."}
	refuseMore     = answer{status: http.StatusServiceUnavailable, message: "The edge has as many WebSocket connections as it takes.", after: 5}
	refuseUnopened = answer{status: http.StatusBadGateway, message: "The origin answered the handshake and opened no WebSocket connection."}
)

// refuseFlaw answers requests that programs read differently.
var refuseFlaw = map[framing.Flaw]answer{
	framing.FlawedName:   {status: http.StatusBadRequest, message: "The request has a header whose name is one of framing to who does not tell _ from -."},
	framing.FlawedValue:  {status: http.StatusBadRequest, message: "The request has a header whose value begins or ends with a blank."},
	framing.FlawedExpect: {status: http.StatusExpectationFailed, message: "The edge meets no other expectation than 100-continue."},
	framing.FlawedMethod: {status: http.StatusBadRequest, message: "The request's method is no word in capitals."},
	framing.FlawedTarget: {status: http.StatusBadRequest, message: "The request's target is not a path."},
	framing.FlawedHost:   {status: http.StatusBadRequest, message: "The request's host is not one name."},
}

// answerFor returns the edge's answer to a failure, by the innermost kind that
// says more than another: a body that was too large is that, however far it got.
func answerFor(err error) answer {
	if errors.Is(err, errFunction) {
		return functionFailed(err)
	}
	if errors.Is(err, errUnjudged) {
		return refuseUnjudged
	}
	for _, k := range []meridian.Kind{meridian.TooLarge, meridian.Canceled} {
		var e *meridian.Error
		if errors.As(err, &e) && e.Kind == k {
			return byKind[k]
		}
	}
	if a, ok := byKind[kindOf(err)]; ok {
		return a
	}
	return byKind[meridian.Internal]
}

// header returns what the answer says of what to do about it.
func (a answer) header() http.Header {
	h := http.Header{}
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.after > 0 {
		h.Set("Retry-After", strconv.Itoa(a.after))
	}
	return h
}

// write sends the answer as JSON, or to a call as gRPC's status.
func (a answer) write(w http.ResponseWriter, r *http.Request, id string) {
	if isGRPC(r) {
		a.writeGRPC(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	maps.Copy(h, a.header())
	text, _ := json.Marshal(struct { // strings: cannot fail
		Code      string `json:"code,omitempty"`
		Message   string `json:"message"`
		RequestID string `json:"requestId"`
	}{a.code, a.message, id})
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		w.Write(append(text, '\n'))
	}
}
