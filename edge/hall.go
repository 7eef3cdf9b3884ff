package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/framing"
)

// A hall stands behind the lobby, with one server of net/http for HTTP/2 and one
// for HTTP/1.1: they are told to go in different ways.
type hall struct {
	lobby    *lobby
	one, two *http.Server
	toOne    *entrance
	toTwo    *entrance
	served   chan struct{} // closed once no server accepts any more, but from the parking
	again    chan struct{} // closed once none does from there
	open     atomic.Int64  // connections of HTTP/1.1
}

// hall returns a hall whose servers answer with h.
func (e *netHTTP) hall(in *lobby, h http.Handler) *hall {
	x := &hall{lobby: in, one: e.server(h), two: e.server(h), served: make(chan struct{}), again: make(chan struct{})}
	x.toOne, x.toTwo = newEntrance(in, nil), newEntrance(in, func() error { return guard(x.two, in.about) })
	x.one.ConnState = func(c net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			x.open.Add(1)
		case http.StateIdle:
			if g, ok := c.(*framing.H1); ok {
				g.Idle()
			}
		case http.StateClosed, http.StateHijacked:
			x.open.Add(-1)
		}
	}
	return x
}

// run accepts until the lobby is closed. What was accepted goes on.
func (x *hall) run() error {
	defer close(x.served)
	go func() { // ends with the parking
		defer close(x.again)
		x.one.Serve(x.lobby.parking.out)
	}()
	var all sync.WaitGroup
	var one, two error
	all.Go(func() { one = x.one.Serve(x.toOne) })
	all.Go(func() { two = x.two.Serve(x.toTwo) })
	err := x.guide()
	all.Wait()
	for _, e := range []error{one, two} {
		if !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// guide hands on what leaves the lobby.
func (x *hall) guide() error {
	defer x.toOne.Close()
	defer x.toTwo.Close()
	for {
		c, err := x.lobby.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		to := x.toOne
		if _, h2 := c.(*tls.Conn); h2 {
			to = x.toTwo
		}
		select {
		case to.ready <- c:
		case <-to.closed:
			c.Close()
		}
	}
}

// leave lets nobody in any more, and returns once all that was begun has ended,
// or ctx is over.
func (x *hall) leave(ctx context.Context, linger time.Duration) {
	begun, cancel := context.WithTimeout(ctx, linger)
	defer cancel()
	x.lobby.leave(begun)
	x.lobby.Close()
	<-x.served // from now on both know all connections
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { shutdown(ctx, x.two) })
	all.Go(func() {
		x.empty(begun)
		x.lobby.parking.clear()
		<-x.again
		shutdown(ctx, x.one)
	})
}

// empty returns once there is no connection of HTTP/1.1, or ctx is over. One that
// is on its way from the parking to a server is seen at one look of two.
func (x *hall) empty(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for none := 0; none < 2; none++ {
		if x.open.Load() > 0 || x.lobby.parking.held.Load() > 0 {
			none = -1
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func shutdown(ctx context.Context, s *http.Server) {
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// An entrance is the listener of one server of a hall.
type entrance struct {
	net.Listener // for its address
	setUp        func() error
	ready        chan net.Conn
	closed       chan struct{}
	once         sync.Once
}

// newEntrance returns an entrance that calls setUp, if there is one, when its
// server asks for its first connection.
func newEntrance(l net.Listener, setUp func() error) *entrance {
	return &entrance{Listener: l, setUp: setUp, ready: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	if setUp := e.setUp; setUp != nil {
		e.setUp = nil
		if err := setUp(); err != nil {
			return nil, err
		}
	}
	select {
	case c := <-e.ready:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It leaves the lobby open.
func (e *entrance) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}
