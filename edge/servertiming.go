package edge

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"meridian/edge/cache"
)

// tellTiming adds what was done for the request to Server-Timing, by the names that
// CloudFront has for it, if the policy's sample or the viewer's Pragma says so.
// What the origin says there stays.
func (x *exchange) tellTiming(p *ResponsePolicy) {
	if p.ServerTiming == nil || rand.Float64()*100 >= *p.ServerTiming && !hasToken(x.r.Header, "Pragma", "server-timing") {
		return
	}
	h := x.w.Header()
	said := h["Server-Timing"]
	h["Server-Timing"] = append(said[:len(said):len(said)], x.timing(x.deps.Now()))
}

// timing is the value of Server-Timing (its specification's section 3). A time of
// the origin ends with its headers, and has in it what was tried in vain.
func (x *exchange) timing(now time.Time) string {
	var ms []string
	add := func(name, desc string) {
		if desc != "" {
			name += `;desc="` + desc + `"`
		}
		ms = append(ms, name)
	}
	took := func(name string, d time.Duration) {
		ms = append(ms, name+";dur="+strconv.FormatInt(d.Milliseconds(), 10))
	}
	switch went := x.went.Load(); {
	case x.outcome == "" || x.outcome == cache.Refused: // the edge's own answer
	case x.outcome == cache.Hit || x.outcome == cache.Stale || x.outcome == cache.Collapsed || went == nil:
		add("cdn-cache-hit", "")
		add("cdn-hit-layer", "EDGE")
	case went.choice.Cause == byShield && strings.Contains(strings.Join(x.w.Header()["Cache-Status"], ","), string(x.shield.place)+".meridian; hit"):
		add("cdn-cache-hit", "")
		add("cdn-hit-layer", "Origin Shield")
	default:
		if add("cdn-cache-miss", ""); x.outcome == cache.Revalidated {
			ms[0] = "cdn-cache-refresh"
		}
		layer := "EDGE"
		if went.choice.Cause == byShield {
			layer = "Origin Shield"
		}
		add("cdn-upstream-layer", layer)
		if !went.began.IsZero() {
			took("cdn-upstream-fbl", went.began.Sub(went.from))
		}
	}
	add("cdn-pop", string(x.cfg.Place))
	add("cdn-rid", x.id)
	took("cdn-downstream-fbl", now.Sub(x.start))
	return strings.Join(ms, ", ")
}
