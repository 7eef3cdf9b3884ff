package edge

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop are the headers that concern one connection alone (RFC 9110,
// section 7.6.1) and the older ones that were used so.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// internalPrefix begins the names that only nodes may say to each other.
const internalPrefix = "Meridian-"

// forged are the headers by which only who wants to deceive an origin names a
// client: Proxy becomes the variable HTTP_PROXY of who hands headers on so
// (CVE-2016-5385), and X-Real-Ip is taken for the address that the nearest proxy
// saw, which CloudFront does not pass on either.
var forged = []string{"Proxy", "X-Real-Ip"}

// added is how many headers an edge adds to a request, more or less.
const added = 8

// cloned returns a copy of a request's headers that has room for what is added.
func cloned(h http.Header) http.Header {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	all := make([]string, n)
	out := make(http.Header, len(h)+added)
	for name, values := range h {
		n = copy(all, values)
		out[name], all = all[:n:n], all[n:]
	}
	return out
}

// stripForged removes the headers that no viewer is believed.
func stripForged(h http.Header) {
	for _, name := range forged {
		delete(h, name)
	}
}

// stripHops removes the hop-by-hop headers and those that Connection names.
func stripHops(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// asSaid keeps an engine from saying what the origin did not: a type that it guesses
// from the first bytes, which a viewer might believe of what anybody uploaded; and
// leaves out over HTTP/2 and 3 what it leaves out over HTTP/1.1, a length where no
// body follows. A 204 may not have one (RFC 9110, section 8.6); of a 304, which may,
// some clients wait for the body.
func asSaid(h http.Header, status int) {
	if _, said := h["Content-Type"]; !said {
		h["Content-Type"] = nil
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		delete(h, "Content-Length")
	}
}

// stripInternal removes every Meridian-* header but those in keep. A name is
// compared without regard to case, and with _ for -, since some programs that
// functions are written in do not tell those apart.
func stripInternal(h http.Header, keep ...string) {
	for name := range h {
		if internal(name) && !slices.Contains(keep, name) {
			delete(h, name)
		}
	}
}

func internal(name string) bool {
	if len(name) < len(internalPrefix) || name[0]|0x20 != internalPrefix[0]|0x20 {
		return false
	}
	head := strings.ReplaceAll(name[:len(internalPrefix)], "_", "-")
	return strings.EqualFold(head, internalPrefix)
}

// headerSize is the size that the limit is compared with: names and values,
// the request line, and four bytes a line.
func headerSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// hasToken reports whether a comma-separated header has a token.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h[name] {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}

// signed reports whether a request's headers may be signed, so that none of them
// is to be changed.
func signed(h http.Header) bool { return strings.HasPrefix(h.Get("Authorization"), "AWS4-") }
