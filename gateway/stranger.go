package gateway

import (
	"net"
	"net/http"
	"slices"

	"meridian"
	"meridian/internal/framing"
)

// neverTaken are methods for a proxy itself, and those that show a request, with
// its credentials, to the page that made it: TRACK is what IIS calls TRACE. Edges
// take them as little.
var neverTaken = []string{http.MethodConnect, http.MethodTrace, "TRACK"}

// odd refuses a stranger's request that programs read differently. Edges did so
// before they passed one on, and other gateways before they forwarded it.
func (x *exchange) odd() bool {
	if slices.Contains(neverTaken, x.r.Method) {
		x.note.why = "a method that no API takes"
		x.w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		x.refuse(methodNotTaken)
		return true
	}
	flaw := framing.FlawOf(x.r)
	if flaw == framing.NoFlaw || x.g.off == withoutReading {
		return false
	}
	x.note.why = string(flaw)
	if flaw == framing.FlawedExpect {
		x.refuse(notExpected)
		return true
	}
	x.refuse(replyTo(meridian.Invalid))
	return true
}

// stripForged removes the headers by which only who wants to deceive a function
// names a client: Proxy becomes the variable HTTP_PROXY of who hands headers on so
// (CVE-2016-5385), and X-Real-Ip is taken for the address that the nearest proxy saw.
func stripForged(h http.Header) {
	delete(h, "Proxy")
	delete(h, "X-Real-Ip")
}

// Cut counts, and tells in the log, that a client of the public door was cut off
// before it, or a message of its refused. The causes are a closed set.
func (g *Gateway) Cut(from net.Addr, cause, why string) { g.watch.Cut(from, cause, why) }
