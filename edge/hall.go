package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"meridian/internal/framing"
	"meridian/internal/stricthttp"
)

// A hall stands behind the lobby, with one server of net/http for HTTP/2 and one
// for HTTP/1.1: they are told to go in different ways.
type hall struct {
	lobby  *lobby
	one    *http.Server
	two    *stricthttp.Multiplexed
	toOne  *entrance
	served chan struct{} // closed once no server accepts any more, but from the parking
	again  chan struct{} // closed once that of HTTP/1.1 does not from there
	open   atomic.Int64  // connections of HTTP/1.1
}

// hall returns a hall whose servers answer with h.
func (e *netHTTP) hall(in *lobby, h http.Handler) *hall {
	x := &hall{lobby: in, one: e.server(h), two: stricthttp.NewMultiplexed(e.server(h)), served: make(chan struct{}), again: make(chan struct{})}
	x.toOne = newEntrance(in)
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
	go x.two.Accept(x.lobby.resting.out) // ends with the parking
	var all sync.WaitGroup
	var one error
	all.Go(func() { one = x.one.Serve(x.toOne) })
	err := x.guide()
	all.Wait()
	if !errors.Is(one, http.ErrServerClosed) && !errors.Is(one, net.ErrClosed) {
		err = errors.Join(err, one)
	}
	return err
}

// guide hands on what leaves the lobby.
func (x *hall) guide() error {
	defer x.toOne.Close()
	for {
		c, err := x.lobby.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if h2, ok := c.(*framing.H2); ok {
			x.two.Serve(h2)
			continue
		}
		select {
		case x.toOne.ready <- c:
		case <-x.toOne.closed:
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
	all.Go(func() {
		x.lobby.resting.clear()
		x.two.Shutdown(ctx)
	})
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
	ready        chan net.Conn
	closed       chan struct{}
	once         sync.Once
}

func newEntrance(l net.Listener) *entrance {
	return &entrance{Listener: l, ready: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
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
