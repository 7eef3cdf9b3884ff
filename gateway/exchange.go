package gateway

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/gateway/event"
	"meridian/gateway/openapi"
	"meridian/gateway/placement"
	"meridian/identity"
	"meridian/internal/framing"
)

// An exchange is one request and its answer.
type exchange struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	trusted bool // the request came through the backbone

	*table      // the API that the request began with
	id          string
	began       time.Time
	path, query string // raw
	caller      caller
	held        meridian.Tokens // what the caller came with
	floor       meridian.Tokens // what it may not miss
	fresh       meridian.Tokens // of these, what stands for a token that went down with an old primary
	share       share
	span        trace.Span

	key   string           // by which it is executed once; "" if it may be executed whenever it comes
	claim meridian.Token   // a history that has it has the claim on the key
	touch meridian.Toucher // is told before the claim's invocation writes

	route *openapi.Route      // nil until it is found
	who   *identity.Principal // nil unless the route asked
	note  note
}

// begin takes in what is known before any decision.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request, trusted bool) *exchange {
	x := &exchange{g: g, w: w, r: r, trusted: trusted, table: g.table.Load(), began: time.Now(), share: share{budget: g.budget}}
	x.id = requestID(r, trusted)
	x.path, x.query = framing.TargetOf(r)
	x.caller = callerOf(r, trusted)
	x.startSpan()
	h := w.Header()
	h.Set("Apigw-Requestid", x.id)
	h.Set("Meridian-Region", string(g.cfg.Region))
	return x
}

// serve answers the request. Its steps stand in the order in which they are
// taken, and each may be the last.
func (x *exchange) serve() {
	if headerSize(x.r, x.trusted) > x.g.cfg.Limits.Header {
		x.note.why = "the request line and headers are over the limit"
		x.refuse(headersTooLarge)
		return
	}
	if !x.trusted && x.odd() {
		return
	}
	if x.cors.IsPreflight(x.r.Method, x.r.Header) {
		x.note.why = x.cors.Preflight(x.r.Header, x.w.Header())
		x.send(http.StatusNoContent, nil)
		return
	}
	m := x.Table.Match(x.r.Method, x.path)
	if x.note.why = m.Why; !m.Found() {
		x.refuse(replyTo(meridian.NotFound))
		return
	}
	x.route = &x.Routes[m.Index]
	v := x.authenticate()
	if x.note.admitted = v.why; v.refused != "" && x.g.off != withoutAdmit {
		if v.challenge != "" {
			x.w.Header().Set("WWW-Authenticate", v.challenge)
		}
		x.note.err = v.why
		x.refuse(replyTo(v.refused))
		return
	}
	x.who = v.who
	x.integrate()
}

// integrate has the request run, here or where the primary is, and answers it.
func (x *exchange) integrate() {
	body, err := x.share.requestBody(x.r, x.g.cfg.Limits.Body)
	if err != nil {
		x.fail(err)
		return
	}
	x.readFloor()
	if x.readKey() || x.reckon() {
		return
	}
	if d := x.place(); d.Where == placement.AtPrimary && x.forward(x.note.placed, body) {
		return
	}
	x.runHere(body)
}

// runHere invokes the route's function with the request and answers with its
// output.
func (x *exchange) runHere(body []byte) {
	payload, err := event.Marshal(x.route.Format, x.request(body))
	switch {
	case err != nil:
		x.fail(err)
	case x.key != "":
		x.runOnce(payload, body)
	default:
		x.run(payload)
	}
}

// run invokes the route's function with an event and answers with its output.
func (x *exchange) run(payload []byte) {
	out, seen, err := x.invoke(payload)
	x.note.seen = seen
	x.tellLoad()
	x.observe(seen.Token)
	x.since(seen.Since)
	x.stale(seen.Stale)
	status := 0
	if err == nil {
		status = out.Status
	}
	if why := primaryAway(seen, status, kindOf(err)); why != "" {
		x.primaryAway(why)
		return
	}
	if err != nil {
		x.fail(err)
		return
	}
	x.learn(seen, status)
	x.write(out)
}

// readFloor takes the consistency tokens of the request.
func (x *exchange) readFloor() {
	if x.g.off == withoutFloor {
		return
	}
	var bad error
	if x.floor, bad = floorOf(x.r, x.trusted, x.g.cfg.Carriers, x.g.believing()); bad != nil {
		x.g.metrics.badTokens.Inc()
	}
	x.held = x.floor
}

// invoke runs the function and reads its output to the end, since only then
// the observation is final.
func (x *exchange) invoke(payload []byte) (*event.Response, meridian.Observation, error) {
	ctx, cancel := context.WithTimeout(trace.ContextWithSpan(x.r.Context(), x.span), x.timeout())
	defer cancel()
	deadline, _ := ctx.Deadline()
	began := time.Now()
	defer func() { x.note.integration = time.Since(began) }()
	x.note.invoked = true
	defer x.g.flights[x.route.Function].enter()()
	a, err := x.g.deps.Invoke.Invoke(ctx, meridian.Invocation{
		ID:       x.id,
		Function: x.route.Function,
		Event:    payload,
		Deadline: deadline,
		Floor:    x.floor,
		Reads:    x.promise(),
		Trace:    traceparent(ctx),
	})
	if err != nil {
		return nil, a.Observed, err
	}
	raw, seen, err := x.output(a)
	if err != nil {
		return nil, seen, err
	}
	out, err := event.Parse(x.route.Format, raw)
	return out, seen, err
}

// promise is what the route says of its reads, and the claim of its writes.
func (x *exchange) promise() meridian.Promise {
	p := x.route.Reads
	p.Claim, p.Touch = x.claim, x.touch
	return p
}

// timeout returns how long the function may take: the least of the route's,
// the function's, the gateway's and the caller's patience.
func (x *exchange) timeout() time.Duration {
	d := x.g.cfg.Limits.Integration
	for _, t := range []time.Duration{x.route.Timeout, x.g.cfg.Functions[x.route.Function].Timeout} {
		if t > 0 {
			d = min(d, t)
		}
	}
	if left, ok := timeLeft(x.r, x.trusted); ok {
		d = min(d, left-time.Since(x.began))
	}
	return d
}

// end gives back what the exchange held and says what came of it.
func (x *exchange) end() {
	x.share.release()
	x.record()
}
