package edge

import (
	"net/http"

	"meridian/edge/accesslog"
	"meridian/edge/sign"
)

// granted judges what the request bears: its URL, or else its cookies.
func (x *exchange) granted(keys sign.Keys) (answer, bool) {
	g := x.grant()
	v := sign.Judge(g, keys, sign.Request{Host: x.r.Host, Path: x.at.path, Query: x.at.query, Client: addressOf(x.r.RemoteAddr)}, x.start)
	x.guarded = v.Why
	if v.Passes {
		return answer{}, true
	}
	x.blocked = accesslog.FaultBlocked
	x.metrics.guarded("signature", v.Code)
	return answer{status: http.StatusForbidden, code: v.Code, message: v.Message}, false
}

// grant takes out of the request what it bears: neither the cache nor an origin
// sees it.
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
