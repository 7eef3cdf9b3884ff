package edge

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/edge/origin"
)

// isGRPC reports whether a request is a call of gRPC, or of gRPC-Web, whose
// bodies are frames and whose errors are trailers.
func isGRPC(r *http.Request) bool {
	t, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return ok && (t == "" || strings.ContainsRune("+;-", rune(t[0])))
}

// streams reports whether a request is a call whose ends may send for as long as
// they like, and be silent for as long. Regions take no such calls: their
// functions answer once.
func (x *exchange) streams() bool { return x.custom != nil && isGRPC(x.r) }

// patience is how long a call waits for its origin's headers that sets no
// deadline of its own: a stream of calls need not begin to answer before it ends.
const patience = 24 * time.Hour

// await lets a call take its own time, and be as long as it likes.
func (x *exchange) await() {
	if !x.streams() {
		return
	}
	x.w.wait.Close()
	x.bodyWait.Close()
	x.limit = patience
	if d, ok := grpcTimeout(x.r.Header.Get("Grpc-Timeout")); ok {
		x.limit = d
	}
	if x.body != nil {
		x.body.max = math.MaxInt64
	}
}

// overdue reports whether the time is over that a call gave itself.
func (x *exchange) overdue() bool {
	return x.streams() && x.deps.Now().Sub(x.start) >= x.limit
}

// grpcTimeout reads a deadline: at most 8 digits and a unit (the gRPC protocol,
// Requests). One that is none does not count.
func grpcTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	unit, ok := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 64)
	if !ok || err != nil {
		return 0, false
	}
	return min(time.Duration(n), patience/unit) * unit, true
}

// grpcStatus is what an answer of the edge's own is to a call. It is the gRPC
// project's mapping of HTTP's statuses, but that a body that is too large is not
// unknown, and that a deadline which the call itself set has a code.
func grpcStatus(status int, deadline bool) int {
	switch status {
	case http.StatusBadRequest:
		return 13 // INTERNAL
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return 12 // UNIMPLEMENTED
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return 8 // RESOURCE_EXHAUSTED
	case statusClientGone:
		return 1 // CANCELLED
	case http.StatusGatewayTimeout:
		if deadline {
			return 4 // DEADLINE_EXCEEDED
		}
		return 14 // UNAVAILABLE
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		return 14
	}
	return 2 // UNKNOWN
}

// writeGRPC sends an answer as a call is told of an error: with the status in
// the headers, and nothing after them.
func (a answer) writeGRPC(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	_, deadline := grpcTimeout(r.Header.Get("Grpc-Timeout"))
	h.Set("Content-Type", r.Header.Get("Content-Type"))
	h.Set("Grpc-Status", strconv.Itoa(grpcStatus(a.status, deadline)))
	h.Set("Grpc-Message", percent(a.message))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// hangUp ends a call whose response broke off by a status in its trailers, and
// reports whether it could. A reset has no words, and gRPC's clients take most for a
// mistake (INTERNAL), where what was lost with a connection is worth another try.
func (x *exchange) hangUp(err error) bool {
	web := strings.HasPrefix(x.r.Header.Get("Content-Type"), "application/grpc-web") // has its trailers in the body
	if !x.streams() || web || x.r.ProtoMajor < 2 || errors.Is(err, errClient) || x.r.Context().Err() != nil {
		return false
	}
	status := 14 // UNAVAILABLE
	if code, ok := origin.ResetCode(err); ok {
		status = resetStatus(code)
	}
	if x.overdue() {
		status = 4 // DEADLINE_EXCEEDED
	}
	x.err, x.called = err, strconv.Itoa(status)
	x.w.drop()
	h := x.w.Header()
	h.Set(http.TrailerPrefix+"Grpc-Status", x.called)
	h.Set(http.TrailerPrefix+"Grpc-Message", percent("The origin broke off before the call had ended."))
	return true
}

// resetStatus is what a reset by an error code of HTTP/2 is to a call (the gRPC
// protocol, Errors).
func resetStatus(code uint32) int {
	switch code {
	case 0x7: // REFUSED_STREAM
		return 14
	case 0x8: // CANCEL
		return 1
	case 0xb: // ENHANCE_YOUR_CALM
		return 8
	case 0xc: // INADEQUATE_SECURITY
		return 7
	}
	return 13
}

// percent encodes a message (the gRPC protocol, Responses).
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
