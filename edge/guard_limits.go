package edge

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"meridian/edge/accesslog"
	"meridian/edge/limit"
)

// The headers by which a client knows where it stands (draft-ietf-httpapi-
// ratelimit-headers-10).
const (
	headerLimits = "Ratelimit-Policy"
	headerLimit  = "Ratelimit"
)

// within counts the request where it may pass by every limit, and returns the
// answer where one says no. What the limits before that one counted stays so.
func (x *exchange) within(lists ...[]limit.Limit) (answer, bool) {
	h := x.w.Header()
	for _, list := range lists {
		for i := range list {
			l := &list[i]
			v := x.limits.Allow(l, l.KeyOf(x.clientOf(l)), x.start)
			h.Add(headerLimits, policyOf(l))
			h.Add(headerLimit, strconv.Quote(l.Name)+";r="+strconv.Itoa(v.Left)+";t="+strconv.Itoa(wholeSeconds(v.Full)))
			if !v.Passes {
				x.guarded, x.blocked = v.Why, accesslog.FaultRate
				x.metrics.guarded("rate", l.Name)
				return answer{status: http.StatusTooManyRequests, message: "Too many requests.", after: max(wholeSeconds(v.Again), 1)}, false
			}
		}
	}
	return answer{}, true
}

func policyOf(l *limit.Limit) string {
	per := l.Per
	if per == 0 {
		per = time.Second
	}
	return strconv.Quote(l.Name) + ";q=" + strconv.Itoa(l.Requests) + ";w=" + strconv.Itoa(max(wholeSeconds(per), 1))
}

// wholeSeconds rounds up: who waits as long as told has waited long enough.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// clientOf returns what a limit knows the request's client by. The first byte
// keeps what strangers may choose apart from what they may not.
func (x *exchange) clientOf(l *limit.Limit) string {
	switch l.By {
	case limit.ByIdentity:
		if who := x.identified(); who != "" {
			return "i" + who
		}
	case limit.ByHeader:
		if v := x.r.Header[l.Header]; len(v) > 0 {
			return "h" + strings.Join(v, ",")
		}
	}
	return "a" + networkOf(x.r.RemoteAddr)
}

// identified returns who asks, if that is verified. The request's identity is
// made ready later, of what a function may have changed.
func (x *exchange) identified() string {
	if x.deps.Verify == nil {
		return ""
	}
	p, err := x.deps.Verify.Verify(x.r.Header.Clone())
	if err != nil || p == nil {
		return ""
	}
	return p.Kind + " " + p.Authorizer + " " + p.ID
}

// networkOf returns a client's address, or of IPv6 the network of 64 bits that
// one customer has at least (RFC 6177).
func networkOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return host
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().Addr().String()
}

// Uses returns what clients with a limit used at this edge since it was asked
// last, for the other edges' HearUses.
func (e *Edge) Uses() []limit.Use { return e.limits.Take() }

// HearUses counts what clients used at another edge.
func (e *Edge) HearUses(uses []limit.Use) { e.limits.Hear(uses, e.deps.Now()) }
