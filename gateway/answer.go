package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"meridian"
	"meridian/gateway/event"
	"meridian/identity"
	"meridian/internal/framing"
)

// output reads a function's output to its end, and then what stands beside it.
func (x *exchange) output(a meridian.Answer) ([]byte, meridian.Observation, error) {
	if a.Body == nil {
		return nil, a.Observed, nil
	}
	raw, err := x.share.readAll(a.Body, 0, event.MaxSize)
	if e := a.Body.Close(); err == nil {
		err = e
	}
	if kindOf(err) == meridian.TooLarge { // the function's fault, not the caller's
		err = meridian.WithKind(meridian.Malformed, fmt.Errorf("function's output: %w", err))
	}
	return raw, a.Observed, err
}

// request puts together what the event says.
func (x *exchange) request(body []byte) *event.Request {
	c := x.g.cfg
	x.caller.header["Content-Length"] = []string{strconv.Itoa(len(body))}
	return &event.Request{
		ID:         x.id,
		Time:       x.g.deps.Now(),
		RouteKey:   x.route.Key.String(),
		Resource:   x.route.Path,
		Params:     x.route.Params(x.path),
		Method:     x.r.Method,
		Path:       x.path,
		Query:      x.query,
		Protocol:   x.caller.protocol,
		Host:       hostOf(x.r),
		SourceIP:   x.caller.ip,
		Header:     x.caller.header,
		Body:       body,
		AccountID:  c.AccountID,
		APIID:      c.APIID,
		Stage:      c.Stage,
		Authorizer: authorizerOf(x.who),
	}
}

func authorizerOf(p *identity.Principal) *event.Authorizer {
	switch {
	case p == nil:
		return nil
	case p.Kind == identity.KindAPIKey:
		return &event.Authorizer{APIKeyID: p.ID, APIKeyName: p.Name}
	}
	claims := make(map[string]string, len(p.Claims))
	for name, v := range p.Claims {
		claims[name] = claim(v)
	}
	return &event.Authorizer{Claims: claims, Scopes: p.Scopes}
}

// claim writes a claim as API Gateway does: text as it is, a list as [a b].
func claim(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = claim(e)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case map[string]any:
		if b, err := json.Marshal(v); err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(v)
}

// write sends an answer of the function.
func (x *exchange) write(out *event.Response) {
	x.note.out = out
	h := x.w.Header()
	for name, values := range out.Header {
		h[name] = append(h[name], values...)
	}
	x.cors.Answer(x.r.Header, h)
	x.send(out.Status, out.Body)
}

// fail answers an error by its kind. The text of the error is for the log.
func (x *exchange) fail(err error) {
	k := kindOf(err)
	if x.r.Context().Err() != nil && !framing.Broken(err) {
		k = meridian.Canceled
	}
	x.note.err, x.note.kind = err.Error(), k
	x.unplaced(k)
	x.refuse(replyTo(k))
}

// refuse answers an error.
func (x *exchange) refuse(r reply) {
	if x.note.err == "" {
		x.note.err = r.message
	}
	x.errorBody(r.status, map[string]string{"message": r.message})
}

// primaryAway answers that the primary region is needed and cannot be reached.
func (x *exchange) primaryAway(why string) {
	x.g.metrics.primaryAway.Inc()
	r := replyTo(meridian.PrimaryUnavailable)
	x.note.err, x.note.kind = "primary away: "+why, meridian.PrimaryUnavailable
	x.w.Header().Set("Retry-After", "5")
	x.w.Header().Set("Meridian-Primary-Away", strings.TrimSpace(printable(why)))
	x.errorBody(r.status, map[string]string{"message": r.message, "reason": why})
}

func (x *exchange) errorBody(status int, fields map[string]string) {
	body, err := json.Marshal(fields)
	if err != nil {
		panic("gateway: strings that JSON cannot write: " + err.Error())
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	x.cors.Answer(x.r.Header, h)
	x.send(status, body)
}

// send writes status and body. Nobody is there to hear of a write that fails. To
// who went away nothing is said: net/http would say 200 to who is only half gone.
func (x *exchange) send(status int, body []byte) {
	x.note.status = status
	if status == statusGone {
		panic(http.ErrAbortHandler)
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	} else {
		body = nil
	}
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	n, err := x.w.Write(body)
	x.note.length = int64(n)
	if err != nil && x.note.err == "" {
		x.note.err = "write answer: " + err.Error()
	}
}

// printable makes text fit for a header.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
}
