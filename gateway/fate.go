package gateway

import (
	"net/http"

	"meridian"
)

// headerLost names the write of the caller that is lost with an old primary.
const headerLost = "Meridian-Lost-Write"

// reckon looks what became, after a failover, of what the request's tokens name.
// A token that went down with an old primary is replaced by a fresh one, and
// nobody hears of it, unless its bearer's last write is lost, or nobody can tell
// whether it is: then the request is answered with that, once, since the answer
// carries the fresh token; nothing of it was executed.
func (x *exchange) reckon() (answered bool) {
	if x.g.deps.Fate == nil || x.g.off == withoutFate {
		return false
	}
	x.floor = append(meridian.Tokens(nil), x.floor...) // what the caller holds stays as it is
	var told *meridian.Fate
	for i, t := range x.floor {
		f := x.g.deps.Fate(x.r.Context(), t)
		if f.Is == meridian.Sought {
			x.note.err, x.note.kind = f.Why, meridian.Unavailable
			x.w.Header().Set("Retry-After", "1")
			x.errorBody(http.StatusServiceUnavailable, map[string]string{"message": replyTo(meridian.Unavailable).message, "reason": f.Why})
			return true
		}
		if f.Fresh.IsZero() {
			continue
		}
		x.floor[i], x.fresh = f.Fresh, append(x.fresh, f.Fresh)
		if f.Is == meridian.Lost {
			x.w.Header().Add(headerLost, t.Handle)
		}
		if f.Is == meridian.Lost || f.Is == meridian.Unknown {
			told = &f
		}
	}
	if told == nil {
		return false
	}
	x.g.metrics.lostWrites.WithLabelValues(string(told.Is)).Inc()
	x.note.err = told.Why
	x.observe(meridian.Token{})
	x.errorBody(http.StatusConflict, map[string]string{"message": "Conflict", "reason": told.Why})
	return true
}
