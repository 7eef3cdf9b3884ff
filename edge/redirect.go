package edge

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"meridian/internal/framing"
)

// redirect answers everything on plain HTTP with the same place over HTTPS. It
// is a 308, so that a POST stays a POST.
func (e *Edge) redirect(w http.ResponseWriter, r *http.Request) {
	if r.Body != http.NoBody && e.cfg.Limits.Pace.Rate > 0 { // net/http reads what is left of it
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(e.cfg.Limits.Pace.Grace))
	}
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		refuseMethod.write(w, r, uuid.NewString())
		return
	}
	if a, flawed := refuseFlaw[framing.MisspeltIn(r)]; flawed {
		a.write(w, r, uuid.NewString())
		return
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	if e.validates(w, r, host) {
		return
	}
	if host == "" || !e.ours(host) { // nobody is sent to somebody else's place
		host = e.cfg.Domain
	}
	port := ""
	if addr, _ := e.Addrs(); addr != nil {
		_, port, _ = net.SplitHostPort(addr.String())
	}
	t := targetOf(r)
	if t.path == "" || t.path[0] != '/' {
		t.path = "/"
	}
	// Set raw: http.Redirect would clean the path.
	w.Header().Set("Location", "https://"+join(host, port)+t.String(strings.Contains(r.RequestURI, "?")))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
}

// join returns the authority of an https URL, without a port that goes without
// saying.
func join(host, port string) string {
	switch {
	case port != "" && port != "443":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}
