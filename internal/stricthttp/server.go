package stricthttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"meridian/internal/framing"
)

// A Server serves strangers over TLS, HTTP/1.1 and HTTP/2. Zero limits are none.
type Server struct {
	// HTTP returns a server of net/http as it is to be, but for its ConnState and
	// ConnContext. Each of the two protocols has one: they are told to go in
	// different ways.
	HTTP      func() *http.Server
	TLS       *tls.Config
	Handshake time.Duration // how long one may take
	Header    int           // bytes; see framing.Config
	Slow      time.Duration // see framing.Config
	Drain     time.Duration // how long what was begun may go on

	// Tell hears of clients that are cut off, and of what is refused: the cause is
	// CutHandshake or a framing.Kind.
	Tell func(from net.Addr, cause, why string)
}

// CutHandshake is the cause of who was cut off in its handshake.
const CutHandshake = "handshake"

// Serve answers what arrives at l until ctx is canceled. Then it closes l, and
// returns when all that was begun has ended, or the drain is over.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	x := &serving{Server: s, ctx: lasting, toOne: newHanded(l), two: NewMultiplexed(s.http())}
	one := s.http()
	var serving sync.WaitGroup
	serving.Go(func() { one.Serve(x.toOne) }) // says only that it was closed
	done := make(chan error, 1)
	go func() { done <- x.accept(ctx, l) }()
	var err error
	select {
	case err = <-done:
		l.Close()
	case <-ctx.Done():
		l.Close()
		err = <-done
	}
	if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		err = nil
	}
	drain, cancel := context.WithTimeout(lasting, s.Drain)
	defer cancel()
	x.leave(drain, end, one)
	serving.Wait()
	return err
}

// http returns a server that knows the connections of its requests.
func (s *Server) http() *http.Server {
	srv := s.HTTP()
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, secureKey{}, c) }
	srv.Handler = secured(srv.Handler)
	return srv
}

type secureKey struct{}

// secured says of requests over HTTP/1.1 that they came over TLS, which net/http
// knows only of connections that are crypto/tls's.
func secured(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(secureKey{}).(framing.Secure); ok && r.TLS == nil {
			state := c.ConnectionState()
			r.TLS = &state
		}
		h.ServeHTTP(w, r)
	})
}

// A serving is a server that serves.
type serving struct {
	*Server
	ctx    context.Context // of handshakes
	inside sync.WaitGroup  // of them
	toOne  *handed
	two    *Multiplexed
}

// lull is how long a listener is left alone that lacks files: what has some may
// give them back.
const lull = 10 * time.Millisecond

// accept accepts until it cannot any more, or ctx is canceled and l closed.
func (x *serving) accept(ctx context.Context, l net.Listener) error {
	for {
		c, err := l.Accept()
		var again interface{ Temporary() bool }
		switch {
		case err == nil:
			x.inside.Go(func() { x.receive(c) })
		case errors.As(err, &again) && again.Temporary(): // it lacks files
			select {
			case <-time.After(lull):
			case <-ctx.Done():
				return net.ErrClosed
			}
		default:
			return err
		}
	}
}

// receive hands on a connection once its handshake is complete.
func (x *serving) receive(c net.Conn) {
	from := c.RemoteAddr()
	secure := tls.Server(c, x.TLS)
	err := Shake(x.ctx, secure, x.Handshake)
	if errors.Is(err, ErrSlow) {
		x.Tell(from, CutHandshake, "not complete in "+x.Handshake.String())
	}
	var guarded net.Conn
	if err == nil {
		guarded, _ = Guard(secure, framing.Config{
			Header: x.Header, Slow: x.Slow, Tell: func(k framing.Kind, why string) { x.Tell(from, string(k), why) },
		})
	}
	switch g := guarded.(type) {
	case *framing.H2:
		x.two.Serve(g)
	case *framing.H1:
		x.toOne.hand(g)
	default: // no handshake, or what no request begins with
		c.Close()
	}
}

// leave ends what was begun: handshakes first, so that both servers know all
// connections.
func (x *serving) leave(drain context.Context, end context.CancelFunc, one *http.Server) {
	stop := context.AfterFunc(drain, end)
	defer stop()
	x.inside.Wait()
	x.toOne.Close()
	var all sync.WaitGroup
	all.Go(func() { x.two.Shutdown(drain) })
	all.Go(func() {
		if one.Shutdown(drain) != nil {
			one.Close()
		}
	})
	all.Wait()
}

// A handed is a listener of connections that others have accepted.
type handed struct {
	net.Listener // for its address
	ready        chan net.Conn
	closed       chan struct{}
	once         sync.Once
}

func newHanded(l net.Listener) *handed {
	return &handed{Listener: l, ready: make(chan net.Conn), closed: make(chan struct{})}
}

// hand has a connection accepted.
func (h *handed) hand(c net.Conn) {
	select {
	case h.ready <- c:
	case <-h.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.ready:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Who accepts for it goes on.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}
