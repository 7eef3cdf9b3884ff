package edge

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// lingerBytes is how much of a body is taken of a client that was answered.
const lingerBytes = 1 << 20

// lingers reports whether a client of HTTP/2 is sending a body still that was
// refused. Net/http resets its stream at the end of the response, as RFC 9113,
// section 8.1, has it; some clients (curl's older versions) then show none of
// it. Whose trailers are waited for is not kept.
func (x *exchange) lingers() bool {
	if x.r.ProtoMajor != 2 || x.r.Body == nil || x.r.Body == http.NoBody || x.body != nil && x.body.ended() {
		return false
	}
	if x.shake != nil || isGRPC(x.r) || x.w.status < http.StatusBadRequest || x.w.status == statusClientGone {
		return false
	}
	for name := range x.w.Header() {
		if name == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix) {
			return false
		}
	}
	return true
}

// linger sends the response, and takes more of the body until it ends, or for a
// moment: who sees an error stops sending.
func (x *exchange) linger() {
	control := http.NewResponseController(x.w.ResponseWriter)
	if control.Flush() != nil {
		return
	}
	control.SetReadDeadline(time.Now().Add(x.cfg.Timeouts.Linger))
	io.CopyN(io.Discard, x.r.Body, lingerBytes)
}
