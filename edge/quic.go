package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"meridian/edge/quicroute"
	"meridian/internal/headroom"
)

// HTTP3 is what an operator may say of HTTP/3.
type HTTP3 struct {
	Off bool
	// Replay lets early data with unsafe methods be executed at once. It is the
	// negative control of RFC 8470, and of no other use.
	Replay bool
}

// A quicDoor answers HTTP/3 on one UDP socket.
type quicDoor struct {
	*Edge
	socket    *quicroute.Socket
	transport *quic.Transport
	listener  *quic.EarlyListener
	server    *http3.Server
	streams   *streams

	shaking atomic.Int64   // handshakes in progress
	waiting sync.WaitGroup // of goroutines that wait for them
	guests  guests
}

// manyHandshakes in progress make the edge ask who comes for a proof of its
// address first (RFC 9000, section 8.1.2), which costs a round trip.
const manyHandshakes = 100

// Windows of QUIC's flow control, in bytes: as those of HTTP/2.
const (
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

// newQUICDoor opens the door on a socket, which it owns from then on.
func newQUICDoor(e *Edge, socket net.PacketConn, conf *tls.Config) (*quicDoor, error) {
	d := &quicDoor{Edge: e, guests: guests{idle: e.cfg.Timeouts.Idle, all: map[*guest]struct{}{}}, streams: newStreams()}
	route, err := d.route(socket)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	keys := route.Keys()
	d.socket, d.transport = route, &quic.Transport{
		Conn: route, StatelessResetKey: &keys.Reset, TokenGeneratorKey: &keys.Token, ConnectionIDGenerator: route.Generator(), ConnContext: d.enter,
		VerifySourceAddress: func(from net.Addr) bool { return d.shaking.Load() > manyHandshakes || d.crowd.doubtful(from) },
	}
	d.server = &http3.Server{
		Handler: http.HandlerFunc(d.serveRequest), MaxHeaderBytes: 2 * e.cfg.Limits.Header, ConnContext: d.accepted, Logger: e.deps.Log.With("protocol", "HTTP/3"),
	}
	conf = http3.ConfigureTLSConfig(conf)
	conf.MinVersion = tls.VersionTLS13
	if d.listener, err = d.transport.ListenEarly(conf, d.config()); err != nil {
		return nil, errors.Join(err, route.Close())
	}
	return d, nil
}

// channel names what goes with the UDP socket from one process to the next.
const channel = "quic"

// route returns the socket as this process reads it, beside the process before it
// and the one after.
func (d *quicDoor) route(socket net.PacketConn) (s *quicroute.Socket, err error) {
	udp, ok := socket.(*net.UDPConn)
	if !ok {
		return nil, fmt.Errorf("HTTP/3 on a %T", socket)
	}
	address := udp.LocalAddr().String()
	p, ok := d.deps.Sockets.(Passer)
	if !ok {
		return quicroute.New(udp), nil
	}
	if f, note := p.Passed(channel, address); f == nil {
		s = quicroute.New(udp)
	} else if s, err = quicroute.Follow(context.Background(), udp, f, note); err != nil {
		return nil, err
	}
	p.Pass(channel, address, s.Pass)
	return s, nil
}

func (d *quicDoor) config() *quic.Config {
	return &quic.Config{
		Allow0RTT:            true,
		HandshakeIdleTimeout: d.cfg.Timeouts.Handshake / 2, // quic-go gives a handshake twice that in all
		MaxIdleTimeout:       d.cfg.Timeouts.Idle,
		MaxIncomingStreams:   int64(d.cfg.Limits.Streams), MaxIncomingUniStreams: 8, // three are used, and a few must be ignored
		InitialStreamReceiveWindow: streamWindow / 2, MaxStreamReceiveWindow: streamWindow,
		InitialConnectionReceiveWindow: streamWindow, MaxConnectionReceiveWindow: connectionWindow,
	}
}

type guestKey struct{}

// enter counts a connection when its first packet comes, or refuses it.
func (d *quicDoor) enter(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if a := d.crowd.enter(info.RemoteAddr); !a.In {
		d.watch.cut(info.RemoteAddr, a.Why, "HTTP/3")
		return nil, fmt.Errorf("no connection for %s: %s", info.RemoteAddr, a.Why)
	}
	d.shaking.Add(1)
	g := &guest{of: &d.guests, shaken: sync.OnceFunc(func() { d.shaking.Add(-1) })}
	context.AfterFunc(ctx, func() {
		g.shaken()
		d.crowd.leave(info.RemoteAddr)
	})
	return withHello(context.WithValue(ctx, guestKey{}, g), nil), nil
}

// accepted is told of a connection when its first request may come.
func (d *quicDoor) accepted(ctx context.Context, c *quic.Conn) context.Context {
	g, _ := ctx.Value(guestKey{}).(*guest)
	g.conn = c
	g.line = &line{Conn: d.pace.Counted(
		func() int64 { return int64(c.ConnectionStats().BytesReceived) }, func() int64 { return int64(c.ConnectionStats().BytesSent) })}
	d.guests.add(g)
	context.AfterFunc(c.Context(), func() { d.guests.remove(g) })
	d.waiting.Go(func() {
		select {
		case <-c.HandshakeComplete():
		case <-c.Context().Done():
		}
		g.shaken()
	})
	return context.WithValue(ctx, lineKey{}, g.line)
}

// serveRequest makes a request of HTTP/3 such as net/http makes of the others.
func (d *quicDoor) serveRequest(w http.ResponseWriter, r *http.Request) {
	headroom.Make()
	http.NewResponseController(w).SetReadDeadline(time.Time{}) // that of the head
	g, _ := r.Context().Value(guestKey{}).(*guest)
	g.begin()
	defer g.end()
	if !d.whole(g, r) {
		panic(http.ErrAbortHandler)
	}
	if !d.cfg.HTTP3.Replay && !settle(r, g.conn.HandshakeComplete()) {
		panic(http.ErrAbortHandler)
	}
	if !bodyless(w, r, d.cfg.Timeouts.Header) {
		panic(http.ErrAbortHandler)
	}
	if hasToken(r.Header, "Expect", "100-continue") && r.ContentLength <= d.cfg.Limits.Body {
		w.WriteHeader(http.StatusContinue) // net/http does when the body is first read
	}
	if len(r.Trailer) > 0 {
		r = trailed(r)
	}
	d.ServeHTTP(w, r)
}

// trailed returns a request whose trailers are filled in as net/http does it, in
// the map that it has from the beginning: quic-go gives the request another one.
func trailed(r *http.Request) *http.Request {
	out := *r
	out.Body = &lastly{r.Body, func() {
		for name := range out.Trailer {
			out.Trailer[name] = r.Trailer[name]
		}
	}}
	return &out
}

// A lastly is a body that does something when it has ended.
type lastly struct {
	io.ReadCloser
	do func()
}

func (l *lastly) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if err == io.EOF {
		l.do()
	}
	return n, err
}

// bodyless finds out whether a request that does not say so has a body, where
// requests mostly have none: it then waits for the first byte or the end. It
// returns false if neither comes in time.
func bodyless(w http.ResponseWriter, r *http.Request, limit time.Duration) bool {
	if r.ContentLength >= 0 && len(r.Header["Content-Length"]) > 0 || !safe(r.Method) && r.Method != http.MethodDelete {
		return true
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(limit))
	defer control.SetReadDeadline(time.Time{})
	first := make([]byte, 1)
	n, err := r.Body.Read(first)
	switch {
	case n > 0:
		r.Body, r.ContentLength = &begun{first: first, ReadCloser: r.Body}, -1
	case err == io.EOF:
		r.Body, r.ContentLength = http.NoBody, 0
	default:
		return false
	}
	return true
}

// A begun body is one whose first byte was read.
type begun struct {
	first []byte
	io.ReadCloser
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 || len(p) == 0 {
		return b.ReadCloser.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

// serve answers until ctx is canceled, and drains.
func (d *quicDoor) serve(ctx context.Context) error {
	done := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		done <- d.accept()
		d.streams.all.Wait()
	}()
	select {
	case err := <-done:
		done <- err
	case <-ctx.Done():
		d.drain(context.WithoutCancel(ctx), gone)
	}
	d.streams.end()
	<-gone
	err := errors.Join(<-done, d.close())
	d.waiting.Wait()
	return err
}

// goodbye is how long a client may take to hear GOAWAY before its connection is
// closed, if nothing is asked on it.
const goodbye = 500 * time.Millisecond

// drain says GOAWAY to every client, lets requests in flight end until gone is
// closed or the drain is over, and closes connections on which there are none: in the end, if another process has this
// one's place, since a client that has not heard it yet may ask.
func (d *quicDoor) drain(ctx context.Context, gone <-chan struct{}) {
	ctx, cancel := d.Edge.drain.within(ctx)
	defer cancel()
	patience, shakes := goodbye, lingering
	if _, handedOver := d.Edge.drain.limit(); handedOver {
		patience, shakes = d.Edge.drain.linger(), lastHandshakes
	}
	d.shaken(ctx, shakes)
	d.streams.leave()
	d.listener.Close()
	first := time.NewTimer(patience)
	defer first.Stop()
	select {
	case <-gone:
		return
	case <-ctx.Done():
		return
	case <-first.C:
		d.guests.dismiss()
	}
	tick := time.NewTicker(goodbye)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			d.guests.dismiss()
		}
	}
}

// lastHandshakes bounds how long handshakes in progress may take once another
// process gets all new ones.
const lastHandshakes = 3 * time.Second

// shaken returns once no handshake is in progress, or after the time: quic-go
// refuses those that are when the listener is closed.
func (d *quicDoor) shaken(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for d.shaking.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *quicDoor) close() error {
	return errors.Join(d.transport.Close(), d.socket.Close())
}
