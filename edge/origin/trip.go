package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"meridian"
)

// Why a trip was canceled that its caller did not cancel.
var (
	errLost = errors.New("the region was found to be down")
	errSlow = errors.New("the region did not answer in time")

	errSlowOrigin = errors.New("the origin did not answer in time")
)

// A Trip is one attempt to have a request answered.
type Trip struct {
	Region    meridian.Region
	Class     int                                            // of the route: see ClassOf
	FirstByte time.Duration                                  // longest wait for the response's headers and opening; 0 waits for ever
	Patient   bool                                           // a call that may be silent for as long as its ends like: see Custom
	Waiting   Waiting                                        // what is done when nothing is heard of the region
	Interim   func(status int, h textproto.MIMEHeader) error // takes 1xx responses; may be nil
	Opening   func(*http.Response) error                     // reads as much of a response as makes it an answer, within the time of its headers; may be nil
}

// open reads the response's opening. Its error closes the response.
func (t Trip) open(resp *http.Response) error {
	if t.Opening == nil {
		return nil
	}
	return t.Opening(resp)
}

// RoundTrip sends req to a region, once, and returns the response's headers
// with its body, as far as the opening was not read, as a stream, which the caller must close. Its error is an
// *Error. Canceling req's context cancels the request there.
func (o *Origin) RoundTrip(req *http.Request, t Trip) (*http.Response, error) {
	l := o.link(t.Region)
	if l == nil {
		return nil, &Error{t.Region, Unsent, meridian.Unavailable, errors.New("the map has no such region")}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	stop := watch(cancel, t, l)
	flight := l.sense.begin(t.Class, time.Now())
	resp, err := o.send(ctx, cancel, l, req, t)
	flight.end(err == nil && !l.hushed.Load(), time.Now()) // a byte may just have ended the silence
	if stop(); err == nil && ctx.Err() != nil {
		resp.Body.Close()
		err = classify(ctx, t.Region, ctx.Err(), MaybeSent)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	o.memory.heal(t.Region, time.Now())
	resp.Body = &body{resp.Body, cancel}
	return resp, nil
}

// watch cancels a trip that takes too long, or whose region is lost, until the
// function that it returns is called.
func watch(cancel context.CancelCauseFunc, t Trip, l *link) (stop func()) {
	stopSlow, stopLost := func() bool { return true }, func() bool { return true }
	if t.FirstByte > 0 {
		stopSlow = time.AfterFunc(t.FirstByte, func() { cancel(errSlow) }).Stop
	}
	if t.Waiting.Elsewhere && t.Waiting.Movable {
		stopLost = context.AfterFunc(l.whileUp(), func() { cancel(errLost) })
	}
	return func() { stopSlow(); stopLost() }
}

// send takes a connection and makes the round trip on it.
func (o *Origin) send(ctx context.Context, cancel context.CancelCauseFunc, l *link, req *http.Request, t Trip) (*http.Response, error) {
	c, err := o.take(ctx, l)
	if err != nil {
		return nil, classify(ctx, t.Region, err, Unsent)
	}
	defer c.onSilence(l, Leave(t.Waiting), func() { cancel(errSilent) })()
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }, Got1xxResponse: t.Interim}
	resp, err := c.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		l.look()
		e := classify(ctx, t.Region, err, sentBy(err, wrote.Load(), ctx.Err() != nil))
		o.note(c, e)
		return nil, e
	}
	if err := t.open(resp); err != nil {
		e := classify(ctx, t.Region, err, MaybeSent)
		o.note(c, e)
		(&body{resp.Body, cancel}).Close()
		return nil, e
	}
	return resp, nil
}

// take returns a connection: a warm one, or the next that the keeper makes.
func (o *Origin) take(ctx context.Context, l *link) (*conn, error) {
	if c := l.pick(); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.cfg.ConnectTimeout)
	defer cancel()
	return l.await(ctx)
}

// classify gives a failure its kind.
func classify(ctx context.Context, r meridian.Region, err error, sent Sent) *Error {
	e := &Error{Region: r, Sent: sent, Kind: meridian.Unavailable, Err: err}
	var own *BodyError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &own):
		e.Kind = meridian.Invalid
	case cause == nil && sent == MaybeSent:
		e.Kind = meridian.Malformed
	case cause == nil:
	case errors.Is(cause, errSlow), errors.Is(cause, errSlowOrigin):
		e.Kind, e.Err = meridian.Timeout, cause
	case errors.Is(cause, errLost), errors.Is(cause, errSilent):
		e.Err = cause
	default:
		e.Kind, e.Err = meridian.Canceled, fmt.Errorf("canceled: %w", cause)
	}
	return e
}

// note remembers a failure that says something of the region. A request that
// took too long does not: its connection is listened to, and would be silent if
// it were the region's fault. A connection that ends counts once, however many
// requests it takes along.
func (o *Origin) note(c *conn, e *Error) {
	switch {
	case e.Kind != meridian.Unavailable && e.Kind != meridian.Malformed:
	case errors.Is(e.Err, errLost), errors.Is(e.Err, errSilent):
	case c.Err() == nil:
		o.memory.fail(e.Region, ByRequest, e.Err.Error(), time.Now())
	case c.blamed.CompareAndSwap(false, true):
		o.memory.fail(e.Region, ByLink, e.Err.Error(), time.Now())
	}
}

// A body frees its request when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer. It cancels first: net/http would wait for the rest
// of the request's body, which a client may keep back until it has the response.
func (b *body) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
