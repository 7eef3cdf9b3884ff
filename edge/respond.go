package edge

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"meridian"
	"meridian/edge/cache"
	"meridian/identity"
)

// passed are the Meridian-* headers of a region that a client may see.
var passed = []string{"Meridian-Region", "Meridian-Primary-Away", "Meridian-Stale", "Meridian-Lost-Write"}

// respond passes a response on, of a region or of the cache.
func (x *exchange) respond(resp *cache.Response) {
	defer resp.Body.Close()
	told := x.learn(x.mine(resp.Tokens))
	if len(x.owed) > 0 {
		told, _ = merge(x.owed, told)
	}
	if x.wantsLanding(resp) {
		x.land()
		return
	}
	h := x.w.Header()
	for name, values := range resp.Header {
		h[name] = values[:len(values):len(values)] // others may append to it too
	}
	stripHops(h)
	stripInternal(h, passed...)
	h["Via"] = append(h["Via"], x.via(resp.Proto[0], resp.Proto[1]))
	if resp.Age != "" {
		h["Age"] = []string{resp.Age}
	}
	if resp.Outcome != cache.Bypass {
		h["Cache-Status"] = append(h["Cache-Status"], resp.CacheStatus)
	}
	if len(told) > 0 {
		tell(h, told, x.cfg.Carriers)
	}
	for name := range resp.Announced {
		if follows(name) {
			h.Add("Trailer", name)
		}
	}
	status, answered := x.viewerResponse(resp.Status)
	if answered {
		return
	}
	if len(h["Trailer"]) > 0 && x.r.ProtoMajor == 1 && x.r.ProtoMinor > 0 && x.r.Method != http.MethodHead {
		delete(h, "Content-Length") // of HTTP/2, where both may be; here only chunks have trailers
	}
	x.w.ready()
	status = cmp.Or(x.as, status)
	asSaid(h, status)
	if err := x.encode(resp, status); err != nil {
		x.broke(err)
	}
	defer resp.Body.Close()
	x.w.WriteHeader(status)
	err := x.stream(resp)
	if err == nil {
		err = x.w.finish()
	}
	if err != nil && x.hangUp(err) {
		return
	}
	if err != nil {
		x.broke(err)
	}
	x.trailers(resp.Trailer())
}

// mine returns what an answer is as new as. That of another caller's request
// names no write: its loss is not to be told to this one.
func (x *exchange) mine(seen meridian.Tokens) meridian.Tokens {
	if x.outcome == cache.Miss || x.outcome == cache.Bypass {
		return seen
	}
	return nameless(seen, x.deps.TokenKeys())
}

// learn takes an answer's tokens, remembers them for the caller, and returns
// what the client should be told: its own tokens, moved on, or nothing.
func (x *exchange) learn(seen meridian.Tokens) meridian.Tokens {
	if x.cfg.IgnoreConsistency || x.custom != nil || len(seen) == 0 {
		return nil
	}
	if len(seen) > maxTokens {
		seen = seen[:maxTokens]
	}
	x.recall.add(x.caller, seen, x.deps.Now())
	x.recall.add(neighbour(x.r.RemoteAddr), nameless(seen, x.deps.TokenKeys()), x.deps.Now())
	if ts, advanced := merge(x.tokens, seen); advanced {
		return ts
	}
	return nil
}

// nameless returns tokens that name no write: who shares an address with their
// bearer shall wait for it, and not hear of its loss.
func nameless(ts meridian.Tokens, keys meridian.TokenKeys) meridian.Tokens {
	out := make(meridian.Tokens, len(ts))
	for i, t := range ts {
		if out[i] = t; t.Handle != "" {
			t.Handle, t.Wrote = "", 0
			out[i] = keys.Seal(t)
		}
	}
	return out
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// errClient is a response that the client did not take.
var errClient = errors.New("write to the client")

// stream copies the body. A body of unknown length may be one that its function
// writes bit by bit: each bit goes out at once.
func (x *exchange) stream(resp *cache.Response) error {
	live := resp.ContentLength < 0 || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	if from, ok := resp.Body.(io.WriterTo); ok && !live {
		return x.pour(from)
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	control := http.NewResponseController(x.w)
	if live {
		control.Flush()
	}
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if _, werr := x.w.Write((*buf)[:n]); werr != nil {
				return fmt.Errorf("%w: %w", errClient, werr)
			}
			if live {
				control.Flush()
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read the response of %s: %w", x.choice.Region, err)
		}
	}
}

// pour writes what is stored, as it lies.
func (x *exchange) pour(from io.WriterTo) error {
	w := &client{x.w, nil}
	_, err := from.WriteTo(w)
	switch {
	case w.err != nil:
		return fmt.Errorf("%w: %w", errClient, w.err)
	case err != nil:
		return fmt.Errorf("read the response of %s: %w", x.choice.Region, err)
	}
	return nil
}

// A client is where a response goes, and why no more of it does.
type client struct {
	io.Writer
	err error
}

func (c *client) Write(b []byte) (n int, err error) {
	n, c.err = c.Writer.Write(b)
	return n, c.err
}

// broke ends a response that cannot be completed in the one way that a client
// will notice: its connection or stream breaks.
func (x *exchange) broke(err error) {
	if errors.Is(err, http.ErrBodyNotAllowed) || errors.Is(err, http.ErrContentLength) {
		err = fmt.Errorf("the region's body does not fit its headers: %w", err)
	}
	x.err = err
	x.w.drop()
	x.utter(err)
	panic(http.ErrAbortHandler)
}

// utter sends the head and what came of a body that broke off, which the engine
// may still hold: a viewer that reads nothing at all cannot tell this from an edge
// that is down, and may send its request again. Not where the end of the
// connection would be the body's (HTTP/1.0).
func (x *exchange) utter(err error) {
	delimited := x.r.ProtoAtLeast(1, 1) || len(x.w.Header()["Content-Length"]) > 0
	if !x.w.headed.IsZero() && delimited && !errors.Is(err, errClient) {
		http.NewResponseController(x.w).Flush()
	}
}

// trailers passes on what came after the body.
func (x *exchange) trailers(t http.Header) {
	h := x.w.Header()
	if isGRPC(x.r) {
		x.called = cmp.Or(t.Get("Grpc-Status"), h.Get("Grpc-Status"))
	}
	for name, values := range t {
		switch {
		case name == identity.HeaderConsistency:
			var seen meridian.Tokens
			for _, line := range values {
				seen = mergeText(seen, line, nil) // the link says that a region wrote it
			}
			x.learn(x.mine(seen))
		case follows(name):
			for _, v := range values {
				h.Add(http.TrailerPrefix+name, v)
			}
		}
	}
}
