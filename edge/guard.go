package edge

import (
	"net/http"
	"net/netip"

	"github.com/gaissmai/bart"

	"meridian/edge/accesslog"
	"meridian/edge/limit"
	"meridian/edge/sign"
	"meridian/edge/waf"
)

// A Guard says who may come in: at all, or by a behaviour. The zero Guard lets
// all in.
type Guard struct {
	Allow, Deny []netip.Prefix // nil Allow means all; Deny outweighs it
	Bots        bool           // refuse what only scanners send; of the whole edge alone
	Limits      []limit.Limit  // how often a client may ask

	// Signed are the keys with one of which the request's URL or its cookies must
	// be signed, as CloudFront has them; nil asks for no signature.
	Signed sign.Keys

	// WAF judges what the cache does not answer; nil judges nothing.
	WAF *waf.Firewall

	allow, deny *bart.Lite // made of the lists; nil where there is none
}

// ready makes tables of a guard's lists.
func (g *Guard) ready() {
	table := func(list []netip.Prefix) *bart.Lite {
		if list == nil {
			return nil
		}
		t := new(bart.Lite)
		for _, p := range list {
			t.Insert(p.Masked())
		}
		return t
	}
	g.allow, g.deny = table(g.Allow), table(g.Deny)
}

// guard returns the answer to a request that may not come in: first that of the
// whole edge's guard, then that of its behaviour's. What costs least is asked
// first.
func (x *exchange) guard() (answer, bool) {
	all, own := x.door, &x.behavior.Guard
	if a, ok := x.known(all); !ok {
		return a, false
	}
	if a, ok := x.known(own); !ok {
		return a, false
	}
	if all.Bots {
		if a, ok := x.decent(); !ok {
			return a, false
		}
	}
	if len(all.Limits)+len(own.Limits) > 0 {
		if a, ok := x.within(all.Limits, own.Limits); !ok {
			return a, false
		}
	}
	if own.Signed != nil {
		return x.granted(own.Signed)
	}
	return answer{}, true
}

// known judges the client's address by a guard's lists.
func (x *exchange) known(g *Guard) (answer, bool) {
	if g.allow == nil && g.deny == nil {
		return answer{}, true
	}
	client := addressOf(x.r.RemoteAddr)
	switch {
	case g.deny != nil && g.deny.Lookup(client):
		return x.keepOut("networks", "denied", "the client's network is denied"), false
	case g.allow != nil && !g.allow.Lookup(client):
		return x.keepOut("networks", "not allowed", "the client's network is not among those that are allowed"), false
	}
	return answer{}, true
}

// keepOut counts and notes a refusal, and returns its answer. The cause is of a
// closed set.
func (x *exchange) keepOut(guard, cause, why string) answer {
	x.guarded, x.blocked = why, accesslog.FaultBlocked
	x.metrics.guarded(guard, cause)
	return answer{status: http.StatusForbidden, code: "AccessDenied", message: "Access denied"}
}

// addressOf returns the address of host:port; an invalid one if it has none.
func addressOf(remote string) netip.Addr {
	p, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}
