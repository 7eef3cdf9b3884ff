package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"meridian"
	"meridian/gateway/event"
	"meridian/gateway/ledger"
	"meridian/identity"
	"meridian/internal/idempotency"
)

// headerReplayed says that an answer is that of an earlier execution.
const headerReplayed = "Idempotency-Replayed"

const (
	// slack is how much longer than its time an execution is waited for: answers
	// come back late.
	slack = 5 * time.Second
	// firstLook and lastLook are between what a request looks again whether the
	// first execution has ended.
	firstLook = 30 * time.Millisecond
	lastLook  = 500 * time.Millisecond
	// settleTime bounds the keeping of an answer, and waiting for another's.
	settleTime = 5 * time.Second
	// reserve is what a request that waits for another's execution leaves of its
	// time, to be answered in.
	reserve = 100 * time.Millisecond
)

// readKey takes the key by which the request is executed once. A key that cannot
// be read is refused: who sent it counts on it. So is, unexecuted, what somebody
// may repeat elsewhere who counts on a ledger that is not here.
func (x *exchange) readKey() (answered bool) {
	if safe(x.r.Method) {
		return false
	}
	if x.g.deps.Ledger == nil {
		if x.trusted && x.r.Header.Get(idempotency.HeaderOnce) != "" {
			x.unclaimed("this region does not deduplicate by Idempotency-Key")
			return true
		}
		return false
	}
	key, err := idempotency.Key(x.r.Header[idempotency.Header])
	if err != nil {
		x.note.err, x.note.kind = err.Error(), meridian.Invalid
		r := replyTo(meridian.Invalid)
		x.errorBody(r.status, map[string]string{"message": r.message, "reason": err.Error()})
		return true
	}
	x.key = key
	return false
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// wish is the claim that the request asks for. What identifies its caller is in
// the scope, so that nobody is answered with what another was; what may change
// from one attempt to the next is in the fingerprint, so that nothing is executed
// twice for that.
func (x *exchange) wish(body []byte) ledger.Claim {
	h := x.caller.header
	caller := "credentials " + strings.Join(h["Authorization"], "\n") + "\n" + strings.Join(h[identity.HeaderAPIKey], "\n")
	if x.who != nil {
		caller = "principal " + string(x.who.Kind) + " " + x.who.Authorizer + " " + x.who.ID
	}
	return ledger.Claim{
		Scope:  ledger.ScopeOf(caller, x.r.Method, hostOf(x.r)+x.path, x.key),
		Print:  ledger.PrintOf(x.query, strings.Join(h["Content-Type"], "\n"), strings.Join(h["Cookie"], "; "), string(body)),
		ID:     rand.Text(),
		Region: x.g.cfg.Region, Request: x.id, Within: x.left() + slack,
	}
}

// left returns how long the request may still take.
func (x *exchange) left() time.Duration { return x.timeout() - time.Since(x.began) }

// runOnce runs the request if no other of its key was executed, and answers as
// the first one was if one was. From the claim on, the execution goes on to its
// end whether its caller waits or not: another may come for the answer.
func (x *exchange) runOnce(payload, body []byte) {
	claim := x.wish(body)
	e, d, err := x.stake(claim)
	if err != nil {
		x.unclaimed(err.Error())
		return
	}
	x.note.once = d
	x.g.metrics.once.WithLabelValues(string(d.Do)).Inc()
	switch {
	case d.Do == ledger.Run || x.g.off == withoutOnly:
		x.claim = e.Token
		if e.Mine {
			x.touch = &touch{x.g.deps.Ledger, claim}
		}
		x.runClaimed(claim, payload)
	case d.Do == ledger.Replay:
		x.replay(e.Answer)
	default:
		x.notAgain(d)
	}
}

// stake asks for the claim until it is known what becomes of the request.
func (x *exchange) stake(claim ledger.Claim) (ledger.Entry, ledger.Decision, error) {
	for look := firstLook; ; look = min(2*look, lastLook) {
		e, err := x.ask(claim)
		if err != nil {
			return e, ledger.Decision{}, err
		}
		left := x.left() - reserve
		switch d := ledger.Decide(x.view(e, claim, left)); d.Do {
		case ledger.Take:
			if err := x.takeOver(claim, e, d); err != nil {
				return e, d, err
			}
			continue // it is this request's now, or the other wrote meanwhile
		case ledger.Wait:
		default:
			return e, d, nil
		}
		select {
		case <-x.r.Context().Done(): // nobody waits for what the next look says
			return e, ledger.Decision{Do: ledger.Busy, Why: "its client went away while another execution was waited for"}, nil
		case <-time.After(min(look, left)):
		}
	}
}

// view adds to what the ledger says what the map and the file do.
func (x *exchange) view(e ledger.Entry, claim ledger.Claim, left time.Duration) ledger.View {
	v := e.Of(claim.Print, left)
	v.Again = x.g.cfg.ReclaimUnwritten
	if m := x.g.deps.Map; m != nil && !v.Mine {
		r, known := m.Now().Region(e.Region)
		v.Gone = known && !r.Healthy
	}
	return v
}

// takeOver asks for the claim of an execution that wrote nothing.
func (x *exchange) takeOver(claim ledger.Claim, e ledger.Entry, d ledger.Decision) error {
	x.g.metrics.once.WithLabelValues(string(d.Do)).Inc()
	x.g.deps.Log.Info("a claim is taken over", "request", x.id, "from", e.Request, "region", e.Region, "why", d.Why)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), max(x.left(), reserve))
	defer cancel()
	return x.g.deps.Ledger.Take(ctx, claim, e.ID)
}

// A touch tells the ledger that a claim's invocation is about to write.
type touch struct {
	ledger Ledger
	claim  ledger.Claim
}

// Touch implements meridian.Toucher.
func (t *touch) Touch(ctx context.Context) (meridian.Token, error) {
	return t.ledger.Touch(ctx, t.claim)
}

// ask asks for the claim once. It does not end with the caller: a claim that was
// given and not heard of would be nobody's.
func (x *exchange) ask(claim ledger.Claim) (ledger.Entry, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), max(x.left(), reserve))
	defer cancel()
	return x.g.deps.Ledger.Claim(ctx, claim)
}

// runClaimed runs the request, keeps its answer and gives it.
func (x *exchange) runClaimed(claim ledger.Claim, payload []byte) {
	door, caller := x.w, x.r
	held := &heldAnswer{ResponseWriter: door}
	x.w, x.r = held, x.r.WithContext(context.WithoutCancel(x.r.Context()))
	x.run(payload)
	x.w, x.r = door, caller
	if x.settle(claim, held) {
		held.send(x.r)
		return
	}
	x.claimLost()
}

// settle keeps the answer, or gives the claim back if surely no function got the
// event. It reports false if the claim is lost, and with it all that was written.
func (x *exchange) settle(claim ledger.Claim, held *heldAnswer) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), settleTime)
	defer cancel()
	if x.note.kind == meridian.Throttled || x.note.kind == meridian.TooLarge {
		if err := x.g.deps.Ledger.Release(ctx, claim); err != nil {
			x.g.deps.Log.Warn("a claim was not given back", "request", x.id, "error", err)
		}
		return true
	}
	a := ledger.Answer{Status: held.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: held.body.Bytes(), Token: x.note.seen.Token}
	if x.note.out != nil {
		a.Header = x.note.out.Header
	}
	kept, err := x.g.deps.Ledger.Settle(ctx, claim, a)
	if err != nil { // the caller gets its answer; who comes later hears that it is not known
		x.g.deps.Log.Warn("an answer was not kept", "request", x.id, "error", err)
		return true
	}
	return kept
}

// replay answers as the first execution was answered.
func (x *exchange) replay(a *ledger.Answer) {
	x.w.Header().Set(headerReplayed, "true")
	x.note.seen.Token = a.Token
	x.observe(a.Token)
	x.write(&event.Response{Status: a.Status, Header: a.Header, Body: a.Body})
}

// notAgain answers a request that is not executed because of another one.
func (x *exchange) notAgain(d ledger.Decision) {
	r := onceAs[d.Do]
	x.note.err = d.Why
	if d.Do == ledger.Busy {
		x.w.Header().Set("Retry-After", "1")
	}
	x.errorBody(r.status, map[string]string{"message": r.message, "reason": d.Why})
}

// unclaimed answers a request of which nothing was executed, as it could not be
// claimed.
func (x *exchange) unclaimed(why string) {
	x.g.metrics.once.WithLabelValues("unclaimed").Inc()
	x.note.err, x.note.kind = why, meridian.Unavailable
	if x.trusted {
		x.w.Header().Set(idempotency.HeaderUnclaimed, strings.TrimSpace(printable(why)))
	}
	x.unplaced(meridian.Unavailable)
	x.notNow("nothing of it was executed: " + why)
}

// claimLost answers a request whose execution belongs to no history any more.
func (x *exchange) claimLost() {
	x.g.metrics.once.WithLabelValues("lost").Inc()
	x.note.err, x.note.kind = "its claim is not its own any more: lost with an old primary, or taken over before it wrote", meridian.PrimaryUnavailable
	clear(x.w.Header())
	x.w.Header().Set("Apigw-Requestid", x.id)
	x.w.Header().Set("Meridian-Region", string(x.g.cfg.Region))
	x.notNow("nothing that it wrote is part of the database: the primary was lost with it, or another region took it over; it may be sent again")
}

func (x *exchange) notNow(why string) {
	r := replyTo(meridian.Unavailable)
	x.w.Header().Set("Retry-After", "1")
	x.errorBody(r.status, map[string]string{"message": r.message, "reason": why})
}

// A heldAnswer is an answer that is not sent yet.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *heldAnswer) WriteHeader(status int)      { w.status = status }
func (w *heldAnswer) Write(b []byte) (int, error) { return w.body.Write(b) }

// send sends the answer. Nobody is there to hear of a write that fails.
func (w *heldAnswer) send(r *http.Request) {
	w.ResponseWriter.WriteHeader(w.status)
	if r.Method != http.MethodHead {
		w.ResponseWriter.Write(w.body.Bytes())
	}
}
