package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"time"
)

// ask gets an answer from the origin, or from a flight that is on its way
// there. Who waited in vain asks alone, so that nobody waits for one after
// another.
func (c *Cache) ask(ctx context.Context, q *Request, key string, o *object, ch choice, fetch Fetch) (*Response, error) {
	if q.Early != nil && o != nil && o.status == http.StatusOK {
		q.Early(o.header)
	}
	if !c.collapses(q, key, o, ch) {
		return c.alone(ctx, q, key, o, ch, fetch)
	}
	var r *Response
	var err error
	for range 2 { // where the first that led failed, or brought another variant, one of those that waited leads
		f, fctx, alone := c.join(ctx, q, key, o)
		if alone {
			err = errAlone
			break
		}
		if f == nil {
			return c.look(ctx, q, key, fetch)
		}
		leads := fctx != nil
		if leads {
			c.work.Go(func() { c.fly(fctx, f, *q, o, ch, fetch) })
		}
		if r, err = c.await(ctx, q, f, leads, o, ch); leads || !errors.As(err, new(*leaderError)) && !errors.Is(err, errVariant) {
			break
		}
	}
	if errors.Is(err, errAlone) {
		r, err = c.alone(ctx, q, key, o, ch, fetch)
	}
	if errors.Is(err, errAlone) && o != nil { // its file is gone, and the origin says that it holds
		c.lose(key, o)
		r, err = c.alone(ctx, q, key, nil, ch, fetch)
	}
	var led *leaderError
	if errors.As(err, &led) {
		err = led.err
	}
	return r, err
}

// errAlone says that a flight brought nothing for who waited for it.
var errAlone = errors.New("what was fetched is for another")

// errVariant is errAlone where a flight brought another variant, and where now is
// known by what variants differ.
var errVariant = fmt.Errorf("it depends on other headers: %w", errAlone)

// A leaderError is the failure of a flight that another led.
type leaderError struct{ err error }

func (e *leaderError) Error() string { return e.err.Error() }
func (e *leaderError) Unwrap() error { return e.err }

// collapses reports whether a request may wait for another's answer, and others
// for its own.
func (c *Cache) collapses(q *Request, key string, o *object, ch choice) bool {
	switch {
	case q.Method != http.MethodGet || ch.fwd == "request":
		return false
	case o == nil && (q.Credential || len(q.Header["Range"]) > 0):
		return false
	case o == nil && conditional(q.Header) && !c.marked(c.fills, key):
		return false
	case o != nil && ch.fwd == "partial" && len(q.Header["Range"]) > 0:
		return false
	}
	return !c.marked(c.passes, key)
}

func (c *Cache) marked(m *marks, key string) bool {
	until, ok := m.GetIfPresent(maphash.String(c.seed, key))
	return ok && c.deps.Now().Before(until)
}

func (c *Cache) mark(m *marks, key string, d time.Duration) {
	m.Set(maphash.String(c.seed, key), c.deps.Now().Add(d))
}

// await waits for a flight's answer, or for the time after which what is stored
// is served in its place.
func (c *Cache) await(ctx context.Context, q *Request, f *flight, leads bool, o *object, ch choice) (*Response, error) {
	var late <-chan time.Time
	if ch.hurry {
		t := time.NewTimer(c.cfg.StaleAfter)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-f.done:
	case <-late:
		c.mu.Lock()
		f.goesOn = true
		c.mu.Unlock()
		c.leave(f, leads)
		c.mark(c.failed, f.key, c.cfg.RetryAfter)
		return c.instead(ctx, q, o, "stale-if-error: the origin is silent", context.DeadlineExceeded)
	case <-ctx.Done():
		c.leave(f, leads)
		return nil, context.Cause(ctx)
	}
	defer c.took(f)
	if leads {
		return c.led(ctx, q, f, o, ch)
	}
	return c.followed(ctx, q, f, o, ch)
}

// led answers who led a flight.
func (c *Cache) led(ctx context.Context, q *Request, f *flight, o *object, ch choice) (*Response, error) {
	n := note{fwd: ch.fwd, fwdStatus: f.fwdStatus, detail: ch.detail, stored: f.direct != nil && f.kept}
	switch {
	case f.err != nil && ch.fallback:
		c.mark(c.failed, f.key, c.cfg.RetryAfter)
		return c.instead(ctx, q, o, "stale-if-error: "+f.err.Error(), f.err)
	case f.err != nil && ch.unheard && q.unheard(f.err):
		c.mark(c.failed, f.key, c.cfg.RetryAfter)
		return c.instead(ctx, q, o, "nothing is heard of the origin: "+f.err.Error(), f.err)
	case f.err != nil:
		return nil, f.err
	case f.direct != nil:
		if f.cancel != nil { // the flight outlives its leader's client otherwise
			context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })
		}
		return c.direct(f.direct, n, Miss, f.why), nil
	}
	out := Miss
	if f.valid {
		out = Revalidated
	}
	r, ok := c.share(ctx, q, f, n, out, false)
	if !ok {
		return nil, errAlone // it came as it was asked for, and was not kept
	}
	return r, nil
}

// followed answers who waited for another's flight, if what it brought may be
// shared.
func (c *Cache) followed(ctx context.Context, q *Request, f *flight, o *object, ch choice) (*Response, error) {
	switch {
	case f.err != nil && ch.fallback:
		return c.instead(ctx, q, o, "stale-if-error: "+f.err.Error(), f.err)
	case f.err != nil && ch.unheard && q.unheard(f.err):
		return c.instead(ctx, q, o, "nothing is heard of the origin: "+f.err.Error(), f.err)
	case errors.As(f.err, new(*OriginError)) || f.err == nil && f.obj == nil:
		return nil, errAlone
	case f.err != nil:
		return nil, &leaderError{f.err}
	}
	v := c.candidate(q, f.key, f.obj, requested(q.Header), c.deps.Now(), true)
	if carried(f.floor, q.Tokens) {
		v.covered = verdict{ok: true}
	} else if f.obj.unsure {
		return nil, errAlone
	}
	if !f.obj.selector.matches(q.Header, "") {
		return nil, errVariant
	}
	if reuse(v).do == validate {
		return nil, errAlone
	}
	r, ok := c.share(ctx, q, f, note{fwd: ch.fwd, fwdStatus: f.fwdStatus}, Collapsed, true)
	if !ok {
		return nil, errAlone
	}
	return r, nil
}

// share answers from what a flight brought.
func (c *Cache) share(ctx context.Context, q *Request, f *flight, n note, out Outcome, collapsed bool) (*Response, bool) {
	s, ok := fit(f.obj, q, f.obj.length())
	if !collapsed && f.obj.part() { // as it was asked for
		s, ok = shape{status: f.obj.status, all: true}, true
	}
	if !ok {
		return nil, false
	}
	now := c.deps.Now()
	age := f.obj.ageAt(now, false)
	r, ok := f.obj.answer(ctx, q, s, age)
	if !ok {
		return nil, false
	}
	if f.obj.age-f.obj.delay < time.Second && !collapsed && !f.valid {
		r.Age = ""
	}
	if !collapsed && f.full != nil && s.all {
		r.Header = f.full
	}
	n.name, n.collapsed, n.stored = c.cfg.Name, collapsed, f.kept
	n.hasTTL, n.ttl = true, f.obj.left(q.Policy, now, false)
	r.CacheStatus, r.Outcome, r.Why = n.String(), out, f.why
	return r, true
}

// unheard reports whether an error says that nothing was heard of the origin. An
// answer that tells of a failure was heard.
func (q *Request) unheard(err error) bool {
	return !errors.As(err, new(*OriginError)) && (q.Unheard == nil || q.Unheard(err))
}

// instead answers with what is stored, where the origin failed (RFC 5861,
// section 4).
func (c *Cache) instead(ctx context.Context, q *Request, o *object, why string, err error) (*Response, error) {
	now := c.deps.Now()
	s, ok := fit(o, q, o.length())
	if !ok {
		return nil, err
	}
	r, ok := o.answer(ctx, q, s, o.ageAt(now, false))
	if !ok {
		return nil, err
	}
	return c.hit(r, o, q, choice{why: why, stale: true, detail: "stale-if-error"}, now), nil
}

// alone asks the origin for one request, whose end is the end of that.
func (c *Cache) alone(ctx context.Context, q *Request, key string, o *object, ch choice, fetch Fetch) (*Response, error) {
	f := c.loosen(q)
	f.key = key
	resp, err := c.from(ctx, q, o, false, fetch)
	if err != nil {
		c.land(f)
		f.err = err
		return c.led(ctx, q, f, o, ch)
	}
	own := o == nil || !validatable(o) || q.Method != http.MethodGet
	if c.absorb(f, q, o, ch, own, resp) {
		c.work.Go(func() {
			defer c.land(f)
			c.pump(f, resp)
		})
	} else {
		c.land(f)
	}
	if f.lead != nil {
		defer f.lead.Close()
	}
	return c.led(ctx, q, f, o, ch)
}

// fly is a flight that others may join.
func (c *Cache) fly(ctx context.Context, f *flight, q Request, o *object, ch choice, fetch Fetch) {
	defer c.land(f)
	defer context.AfterFunc(c.ctx, func() { f.cancel(errStopped) })()
	resp, err := c.from(ctx, &q, o, true, fetch)
	if err != nil {
		f.err = err
		c.settle(f)
		f.cancel(nil)
		return
	}
	more := c.absorb(f, &q, o, ch, false, resp)
	if f.direct != nil { // it ends when the leader is done with it
		resp.Body = &last{resp.Body, f.cancel}
	}
	c.settle(f)
	if more {
		c.pump(f, resp)
	}
	if f.direct == nil {
		f.cancel(nil)
	}
}

// refresh asks the origin again behind the client's back, unless somebody does.
func (c *Cache) refresh(ctx context.Context, q *Request, key string, o *object, fetch Fetch) {
	select {
	case c.tickets <- struct{}{}:
	default:
		return
	}
	f, fctx, _ := c.join(ctx, q, key, o)
	if fctx == nil {
		if f != nil {
			c.leave(f, false)
		}
		<-c.tickets
		return
	}
	c.mu.Lock()
	f.goesOn = true
	c.mu.Unlock()
	c.leave(f, true)
	again := *q
	again.Header = without(q.Header, conditions...)
	c.work.Go(func() {
		defer func() { <-c.tickets }()
		c.fly(fctx, f, again, o, choice{do: validate, fwd: "stale", fallback: true}, fetch)
		if f.err != nil {
			c.mark(c.failed, key, c.cfg.RetryAfter)
		}
	})
}
