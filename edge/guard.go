package edge

import (
	"net/http"
	"net/netip"

	"meridian/edge/sign"
)

// A Guard says who may come in by a behaviour. The zero Guard lets all in.
type Guard struct {
	// Signed are the keys with one of which the request's URL or its cookies must
	// be signed, as CloudFront has them; nil asks for no signature.
	Signed sign.Keys
}

// guard returns the answer to a request that may not come in. What it used to
// say so is taken out of the request: neither the cache nor an origin sees it.
func (x *exchange) guard() (answer, bool) {
	if keys := x.behavior.Guard.Signed; keys != nil {
		return x.granted(keys)
	}
	return answer{}, true
}

// granted judges what the request bears: its URL, or else its cookies.
func (x *exchange) granted(keys sign.Keys) (answer, bool) {
	host, path := x.r.Host, x.at.path
	g := x.grant()
	v := sign.Judge(g, keys, sign.Request{Host: host, Path: path, Query: x.at.query, Client: addressOf(x.r.RemoteAddr)}, x.start)
	x.guarded = v.Why
	if v.Passes {
		return answer{}, true
	}
	x.metrics.guarded("signature", v.Code)
	return answer{status: http.StatusForbidden, code: v.Code, message: v.Message}, false
}

// grant takes out of the request what it bears.
func (x *exchange) grant() sign.Grant {
	byURL, query := sign.FromQuery(x.at.query)
	byCookie, cookies := sign.FromCookies(x.r.Header["Cookie"])
	if !byCookie.IsZero() {
		x.r.Header = x.r.Header.Clone()
		if x.r.Header["Cookie"] = cookies; len(cookies) == 0 {
			delete(x.r.Header, "Cookie")
		}
	}
	if byURL.IsZero() {
		return byCookie
	}
	x.at.query = query
	x.sent.query = x.policy.query(query)
	x.sentQuery = x.sent.query != ""
	return byURL
}

// addressOf returns the address of host:port; an invalid one if it has none.
func addressOf(remote string) netip.Addr {
	p, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}
