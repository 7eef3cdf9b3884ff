package gateway

import (
	"net/http"
	"strings"

	"meridian"
	"meridian/identity"
)

// cookieSeparator stands between the tokens in a cookie, where RFC 6265,
// section 4.1.1, allows no comma. Edges write the same.
const cookieSeparator = "|"

// floorOf returns the consistency tokens of a request, the newest for each
// database, of those that are genuine. Edges send them in the header alone; a
// stranger may hold them in the cookie too. What cannot be read says nothing: bad reports it.
func floorOf(r *http.Request, trusted bool, by meridian.Carriers, keys meridian.TokenKeys) (floor meridian.Tokens, bad error) {
	var said []string
	if trusted || !by.NoHeader {
		said = r.Header.Values(identity.HeaderConsistency)
	}
	if !trusted && !by.NoCookie {
		for _, c := range r.CookiesNamed(identity.CookieConsistency) {
			said = append(said[:len(said):len(said)], strings.ReplaceAll(c.Value, cookieSeparator, ","))
		}
	}
	floor, bad = keys.Open(strings.Join(said, ","))
	for i := range floor {
		floor[i] = floor[i].Bare()
	}
	return floor, bad
}

// observe writes what an answer's data is as new as to its headers: the token
// that was seen, if any, and those that were made fresh. An edge gets these
// alone, since they are the version of what it may cache. A stranger gets all of
// its tokens with these among them, and the cookie only when that advances.
func (x *exchange) observe(seen meridian.Token) {
	h, keys, by := x.w.Header(), x.g.sealing(), x.g.cfg.Carriers
	var tokens meridian.Tokens
	if !x.trusted {
		tokens = x.held
	}
	advanced := false
	for _, t := range append(x.fresh[:len(x.fresh):len(x.fresh)], seen) {
		next, ok := tokens.Advance(t)
		tokens, advanced = next, advanced || ok
	}
	if seen.IsZero() && len(x.fresh) == 0 {
		return
	}
	text := keys.SealAll(tokens).String()
	if x.trusted {
		h.Set(identity.HeaderConsistency, text)
		return
	}
	if !by.NoHeader {
		h.Set(identity.HeaderConsistency, text)
	}
	if advanced && !by.NoCookie {
		c := http.Cookie{Name: identity.CookieConsistency, Value: strings.ReplaceAll(text, ",", cookieSeparator), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		h.Add("Set-Cookie", c.String())
	}
}

// headerSince says, to an edge, what all that an answer rests on is at least as new
// as. Without it that is what its request asked for.
const headerSince = "Meridian-Since"

// since tells an edge how new an answer is at least.
func (x *exchange) since(t meridian.Token) {
	if x.trusted && !t.IsZero() {
		x.w.Header().Set(headerSince, t.Bare().String())
	}
}

// headerStale says why an answer rests on older data than was promised.
const headerStale = "Meridian-Stale"

// stale says in an answer that it rests on data older than promised, if so.
func (x *exchange) stale(why string) {
	if x.note.seen.Stale = why; why != "" {
		x.g.metrics.stale.Inc()
		x.w.Header().Set(headerStale, strings.TrimSpace(printable(why)))
	}
}

// primaryAway says why an answer is a 503 for want of the primary, or "": the
// function failed, and a statement of it could not reach the primary.
func primaryAway(o meridian.Observation, status int, kind meridian.Kind) string {
	failed := status >= 500 || kind != ""
	switch {
	case failed && o.PrimaryAway != "":
		return o.PrimaryAway
	case kind == meridian.PrimaryUnavailable:
		return "the primary region is unavailable"
	}
	return ""
}

// sealing returns the keys with which tokens go out.
func (g *Gateway) sealing() meridian.TokenKeys { return g.deps.TokenKeys() }

// believing returns the keys by which tokens that come in are judged.
func (g *Gateway) believing() meridian.TokenKeys {
	if g.off == withoutSeal {
		return nil
	}
	return g.deps.TokenKeys()
}
