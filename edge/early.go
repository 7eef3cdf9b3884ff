package edge

import (
	"net/http"
	"slices"
)

// RFC 8470: what comes as early data (0-RTT) may be sent again by whoever saw
// it pass. A request that is safe by its method is executed at once and says so
// to the origin; any other waits until the handshake is complete, which only the
// client itself can bring about. Of a request that another intermediary took as
// early data the edge cannot know when that is: it answers 425.

// headerEarly is how an intermediary says that it took a request as early data
// (RFC 8470, section 5.1). Whatever its value, it counts.
const headerEarly = "Early-Data"

// refuseEarly is answered to an unsafe request that may be a replay. The client
// sends it again after its handshake (RFC 8470, section 5.2).
var refuseEarly = answer{status: http.StatusTooEarly, message: "The request came as early data and its method is not safe. Send it again."}

// safe reports whether a method is safe (RFC 9110, section 9.2.1).
func safe(method string) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, method)
}

// tooEarly reports whether a request may be a replay that would do something.
func tooEarly(r *http.Request) bool { return len(r.Header[headerEarly]) > 0 && !safe(r.Method) }

// settle makes a request of a QUIC connection one that may be executed: early
// data with an unsafe method waits for the handshake. It returns false if the
// client went away first.
func settle(r *http.Request, complete <-chan struct{}) bool {
	select {
	case <-complete:
		return true
	default:
	}
	if safe(r.Method) {
		r.Header.Set(headerEarly, "1")
		return true
	}
	select {
	case <-complete:
		return true
	case <-r.Context().Done():
		return false
	}
}
