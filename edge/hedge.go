package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/edge/origin"
)

// errHedged is why an attempt is canceled whose request another region answered
// first.
var errHedged = errors.New("another region answered first")

// Who won a race.
const (
	firstWon  = 1
	secondWon = 2
)

// A second is the second attempt of a read whose first is late.
type second struct {
	x      *exchange // a copy: the first attempt works on the original
	first  meridian.Region
	left   time.Duration
	winner *atomic.Int32
	beat   context.CancelCauseFunc // ends the first attempt
	sent   bool
	resp   *http.Response
	done   chan struct{}
}

// race sends the request to the chosen region and, if that is later than it
// usually is, to the next best as well. The first answer counts, the other
// attempt is canceled. Only what is safe and has no body is sent twice, what
// it must not be older than goes with both, and the budget bounds how much.
func (x *exchange) race(left time.Duration, tried []meridian.Region) (*http.Response, error) {
	x.hedges.Earn()
	after, ok := x.late(tried)
	if !ok {
		return x.attempt(left)
	}
	r := x.r
	ctx, beat := context.WithCancelCause(r.Context())
	ctx2, stop := context.WithCancel(r.Context())
	y := *x
	y.r = r.WithContext(ctx2)
	s := &second{x: &y, first: x.choice.Region, left: left - after, winner: new(atomic.Int32), beat: beat, done: make(chan struct{})}
	timer := time.AfterFunc(after, func() { s.run(after) })
	x.r = r.WithContext(ctx)
	resp, err := x.attempt(left)
	x.r = r
	if timer.Stop() {
		stop()
		return kept(resp, err, beat)
	}
	if err == nil && s.winner.CompareAndSwap(0, firstWon) {
		stop()
		<-s.done
		s.tell("lost")
		return kept(resp, nil, beat)
	}
	if err == nil { // both answered, and the second by a hair the sooner
		resp.Body.Close()
	}
	<-s.done
	beat(nil)
	if s.sent {
		x.tries++
	}
	if s.resp == nil {
		stop()
		s.tell("failed")
		return nil, err
	}
	s.tell("won")
	x.choice = y.choice
	return kept(s.resp, nil, func(error) { stop() })
}

// late returns after how long the request is to be sent to a second region, if
// it may be.
func (x *exchange) late(tried []meridian.Region) (time.Duration, bool) {
	if len(tried) > 0 || x.custom != nil || x.route != nil || x.body != nil || !origin.Safe(x.r.Method) {
		return 0, false
	}
	return x.origin.Late(x.choice.Region, origin.ClassOf(x.r.Method, x.sent.path))
}

// run makes the second attempt, if that is worth it.
func (s *second) run(took time.Duration) {
	defer close(s.done)
	ctx := s.x.r.Context()
	choice, wait, ok := s.x.origin.Second(s.first, took, s.left)
	if !ok {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(wait):
	}
	if !s.x.hedges.Spend() {
		s.x.metrics.hedged(choice.Region, "over-budget")
		return
	}
	s.x.choice, s.sent = choice, true
	resp, err := s.x.attempt(s.left - wait)
	switch {
	case err != nil:
	case s.winner.CompareAndSwap(0, secondWon):
		s.resp = resp
		s.beat(errHedged)
	default:
		resp.Body.Close()
	}
}

// tell counts what became of the second attempt, if there was one.
func (s *second) tell(result string) {
	if s.sent {
		s.x.metrics.hedged(s.x.choice.Region, result)
	}
}

// kept returns a response whose context ends with its body.
func kept(resp *http.Response, err error, end context.CancelCauseFunc) (*http.Response, error) {
	if err != nil {
		end(nil)
		return nil, err
	}
	resp.Body = &ending{resp.Body, end}
	return resp, nil
}

type ending struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (e *ending) Close() error {
	err := e.ReadCloser.Close()
	e.end(nil)
	return err
}
