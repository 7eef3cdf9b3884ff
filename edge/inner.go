package edge

import (
	"net/http"
	"strconv"
	"time"

	"meridian"
	"meridian/edge/cache"
	"meridian/identity"
)

// headerShield is how an edge that was asked as the shield says so, and whether
// it stored the response, or had it.
const (
	headerShield = "Meridian-Shield"
	stored       = "stored"
	unstored     = "unstored"
)

// inward is what an exchange is beside others if it came from another edge.
type inward struct {
	inner bool          // it did
	limit time.Duration // until a region's response begins; 0 means Timeouts.FirstByte
	after time.Time     // what the other edge asks of the cache; see cache.Request
}

// Inner answers other edges, which ask this one as their shield. It must be
// reached by nodes alone: it takes a request as they made it ready. The request
// keeps its id, its trace, the sealed identity (which the region knows by the
// key of the edge that sealed it) and the time that is left; nothing is
// verified, counted for a caller, or told in cookies here. The answer keeps what
// a region says to an edge.
func (e *Edge) Inner() http.Handler { return http.HandlerFunc(e.serveInner) }

func (e *Edge) serveInner(w http.ResponseWriter, r *http.Request) {
	x := e.begin(w, r)
	defer x.end()
	x.inner = true
	if id := r.Header.Get(identity.HeaderRequest); id != "" {
		x.id = id
	}
	for _, name := range []string{"X-Meridian-Request", "X-Meridian-Edge"} { // are those of the first edge
		w.Header().Del(name)
	}
	if a, ok := e.refuse(r); ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		x.answer(a)
		return
	}
	if !x.follow() {
		w.Header().Set(headerShield, unversioned)
		x.w.WriteHeader(http.StatusNotFound)
		return
	}
	x.behave()
	x.takeOver()
	q := x.wanted()
	if x.after.After(q.After) {
		q.After = x.after
	}
	resp, err := x.ask(q)
	if err != nil {
		x.err = err
		x.answer(answerFor(err))
		return
	}
	x.handOn(resp)
}

// takeOver makes the request ready as the first edge left it.
func (x *exchange) takeOver() {
	h := x.r.Header.Clone()
	if ms, err := strconv.ParseInt(h.Get(identity.HeaderTimeLeft), 10, 64); err == nil && ms > 0 {
		x.limit = min(time.Duration(ms)*time.Millisecond, x.cfg.Timeouts.FirstByte)
	}
	if x.deps.After != nil {
		x.after = x.deps.After(h.Get(headerPurged))
	}
	delete(h, headerPurged)
	delete(h, headerVersion)
	delete(h, headerBehavior)
	for _, line := range h[identity.HeaderConsistency] {
		x.seen = mergeText(x.seen, line, nil) // the link says that an edge wrote it
	}
	x.caller = callerOf(nil, h)
	stripHops(h)
	if hasToken(x.r.Header, "Te", "trailers") {
		h.Set("Te", "trailers")
	}
	h.Add("Via", x.via(x.r.ProtoMajor, x.r.ProtoMinor))
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil
	}
	if x.custom != nil {
		x.estrange(h)
	}
	x.header = h
}

// known returns the tokens that name a position.
func known(ts meridian.Tokens) (out meridian.Tokens) {
	for _, t := range ts {
		if t.LSN > 0 {
			out = append(out, t)
		}
	}
	return out
}

// handOn passes a response on to the edge that asked.
func (x *exchange) handOn(resp *cache.Response) {
	defer resp.Body.Close()
	h := x.w.Header()
	for name, values := range resp.Header {
		h[name] = values[:len(values):len(values)] // others may append to it too
	}
	stripHops(h)
	delete(h, identity.HeaderConsistency)
	if seen := x.mine(resp.Tokens); len(seen) > 0 {
		h.Set(identity.HeaderConsistency, seen.String())
	}
	delete(h, cache.HeaderSince)
	if since := known(resp.Since); len(since) > 0 {
		h.Set(cache.HeaderSince, since.String())
	}
	h.Add("Via", x.via(resp.Proto[0], resp.Proto[1]))
	if resp.Age != "" {
		h.Set("Age", resp.Age)
	}
	if resp.Outcome != cache.Bypass {
		h.Add("Cache-Status", resp.CacheStatus)
	}
	h.Set(headerShield, unstored)
	if resp.Stored {
		h.Set(headerShield, stored)
	}
	for name := range resp.Announced {
		h.Add("Trailer", name)
	}
	x.w.WriteHeader(resp.Status)
	if err := x.stream(resp); err != nil {
		x.broke(err)
	}
	for name, values := range resp.Trailer() {
		for _, v := range values {
			if name == identity.HeaderConsistency {
				v = x.mine(mergeText(nil, v, nil)).String()
			}
			h.Add(http.TrailerPrefix+name, v)
		}
	}
}
