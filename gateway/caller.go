package gateway

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/gateway/event"
	"meridian/identity"
)

// A caller is what the connection, or the edge before it, says of who asks.
type caller struct {
	ip       string
	protocol string // "HTTP/2.0", between the caller and its first door
	header   http.Header
}

// callerOf reads the caller of a request. Through the trusted door the edge
// speaks for it: the last X-Forwarded-For is the address that the edge saw, and
// the last Via the protocol (RFC 9110, section 7.6.3).
func callerOf(r *http.Request, trusted bool) caller {
	c := caller{ip: addrOf(r.RemoteAddr), protocol: r.Proto, header: outward(r.Header)}
	if trusted {
		if ip := lastOf(r.Header["X-Forwarded-For"]); ip != "" {
			c.ip = addrOf(ip)
		}
		version, _, _ := strings.Cut(lastOf(r.Header["Via"]), " ")
		switch said := r.Header.Get(headerProtocol); {
		case said != "":
			c.protocol = said // another gateway's word, which placed the request here
		case version != "":
			c.protocol = "HTTP/" + version
		default:
			c.protocol = "HTTP/1.1"
		}
	} else {
		c.header["X-Forwarded-For"] = []string{strings.Join(append(slices.Clone(r.Header["X-Forwarded-For"]), c.ip), ", ")}
		c.header["X-Forwarded-Proto"] = []string{schemeOf(r)}
		c.header["X-Forwarded-Port"] = []string{portOf(r)}
	}
	c.header["Host"] = []string{r.Host}
	return c
}

// outward returns a copy of a request's headers without those of the
// connection and of Meridian, which a function must not see.
func outward(h http.Header) http.Header {
	out := make(http.Header, len(h)+5)
	for name, values := range h {
		if !event.Reserved(name) {
			out[name] = values
		}
	}
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	if cookies := h["Cookie"]; len(cookies) > 0 {
		kept := slices.DeleteFunc(event.SplitCookies(cookies), func(c string) bool {
			return strings.HasPrefix(c, identity.CookieConsistency+"=")
		})
		if delete(out, "Cookie"); len(kept) > 0 {
			out["Cookie"] = []string{strings.Join(kept, "; ")}
		}
	}
	return out
}

// lastOf returns the last element of a list in several header lines.
func lastOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// addrOf returns the address of "address" or "address:port".
func addrOf(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().String()
	}
	return s
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func portOf(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		return port
	}
	if r.TLS != nil {
		return "443"
	}
	return "80"
}

func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// requestID returns the id that the edge gave a request, or a new one.
func requestID(r *http.Request, trusted bool) string {
	id := r.Header.Get(identity.HeaderRequest)
	odd := func(c rune) bool { return c <= ' ' || c > '~' }
	if !trusted || id == "" || len(id) > 128 || strings.ContainsFunc(id, odd) {
		return rand.Text()
	}
	return id
}

// timeLeft returns how long the edge's caller still waits, if the edge says.
func timeLeft(r *http.Request, trusted bool) (time.Duration, bool) {
	ms, err := strconv.ParseInt(r.Header.Get(identity.HeaderTimeLeft), 10, 32)
	return time.Duration(ms) * time.Millisecond, trusted && err == nil
}

// headerSize returns the bytes of the request line and headers as a caller
// sent them. What edges add through the trusted door does not count.
func headerSize(r *http.Request, trusted bool) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("Host: \r\n") + len(r.Host) + 4
	for name, values := range r.Header {
		if trusted && addedByEdge(name) {
			continue
		}
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

func addedByEdge(name string) bool {
	switch name {
	case "Via", "Traceparent", "Tracestate":
		return true
	}
	return strings.HasPrefix(name, "Meridian-") || strings.HasPrefix(name, "X-Forwarded-")
}
