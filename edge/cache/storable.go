package cache

import (
	"net/http"
	"strings"
)

// A verdict is a decision with its reason.
type verdict struct {
	ok  bool
	why string
}

// A judged response is what storable decides on.
type judged struct {
	method     string
	status     int
	header     http.Header
	directives directives
	life       lifetime
	credential bool // the request has one
	noStore    bool // the request asks for it
	ranged     bool // the request asks for a part
	located    bool // of a POST: Content-Location is the target, RFC 9110, section 9.3.3
	policy     Policy
}

// momentary are the headers by which a region says that its answer is of this
// moment, or for this caller alone.
var momentary = []string{"Meridian-Stale", "Meridian-Lost-Write", "Meridian-Primary-Away"}

// storable decides whether a response may be stored (RFC 9111, section 3).
func storable(r judged) verdict {
	r.policy = r.policy.of(r.status)
	d, least := r.directives, r.policy.MinTTL > 0
	for _, name := range momentary {
		if len(r.header[name]) > 0 {
			return verdict{false, name}
		}
	}
	switch {
	case r.policy.MaxTTL <= 0:
		return verdict{false, "the policy stores nothing"}
	case r.method != http.MethodGet && !(r.method == http.MethodPost && r.located && r.life.explicit && r.status == http.StatusOK):
		return verdict{false, "method"}
	case r.status < 200 || r.status == http.StatusNotModified:
		return verdict{false, "status"}
	case r.ranged && ofRange(r.status):
		return verdict{false, "it may be of the range alone"}
	case r.noStore:
		return verdict{false, "the request says no-store"}
	case d.mustUnderstand && !understood(r.status):
		return verdict{false, "must-understand"}
	case d.noStore && !d.mustUnderstand && !least:
		return verdict{false, "no-store"}
	case d.private && !least:
		return verdict{false, "private"}
	case r.credential && !(d.public || d.mustRevalidate || d.sMaxAge.set):
		return verdict{false, "the request has a credential"} // RFC 9111, section 3.5
	case len(r.header["Set-Cookie"]) > 0 && !r.life.explicit:
		return verdict{false, "Set-Cookie"}
	case strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream"):
		return verdict{false, "it has no end"}
	case varies(r.header, "*"):
		return verdict{false, "Vary: *"}
	}
	return worth(r)
}

// ofRange reports whether an answer to a request for a part may say nothing of the
// whole: others ask without that range, or with another.
func ofRange(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusNotFound && status != http.StatusGone
}

// worth refuses what could never be used: neither fresh nor to be validated.
func worth(r judged) verdict {
	switch {
	case r.directives.noCache && r.policy.MinTTL <= 0 && !hasValidator(r.header):
		return verdict{false, "no-cache"}
	case r.life.d > 0:
		return verdict{true, r.life.why}
	case len(r.header["Set-Cookie"]) > 0:
		return verdict{false, "Set-Cookie"}
	case heuristic(r.status) && hasValidator(r.header):
		return verdict{true, "it can be validated"}
	}
	return verdict{false, r.life.why}
}

// hasValidator reports whether a response can be validated (RFC 9110, section 8.8).
func hasValidator(h http.Header) bool { return h.Get("Etag") != "" || h.Get("Last-Modified") != "" }
