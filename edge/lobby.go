package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/pace"
	"meridian/internal/framing"
	"meridian/internal/stricthttp"
)

// A lobby is where connections over TCP wait until it is known who speaks what:
// it lets in no more than the limits allow, completes handshakes in time, and
// hands out connections that let through only what has one reading. It is what
// a hall stands behind.
type lobby struct {
	net.Listener
	conf    *tls.Config // nil: no TLS
	limit   time.Duration
	framing framing.Config
	crowd   *crowd
	watch   *watch
	pace    *pace.Watch
	parking *parking // of HTTP/1.1
	resting *parking // of HTTP/2
	slim    slimmer

	ready   chan net.Conn
	leaving atomic.Bool
	ctx     context.Context // ends when the lobby is closed
	cancel  context.CancelFunc
	inside  sync.WaitGroup // of handshakes, and of run
	err     error          // why run ended, once ctx has
}

// CutHandshake is a handshake that took too long.
const CutHandshake Cut = "handshake"

// open begins to let in.
func (l *lobby) open() *lobby {
	l.ready = make(chan net.Conn)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.inside.Go(l.run)
	return l
}

func (l *lobby) run() {
	defer func() {
		if !l.leaving.Load() {
			l.cancel()
		}
	}()
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if temporary(err) && l.pause() {
				continue
			}
			l.err = err
			return
		}
		probe(c)
		l.inside.Go(func() { l.receive(c) })
	}
}

// probeEvery is after how long without a byte TCP asks whether a client is there
// still: net's own 15 s are four times as many packets, which 100,000 idle
// connections feel, and telephones.
const probeEvery = time.Minute

func probe(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetKeepAlivePeriod(probeEvery)
	}
}

// temporary reports whether a listener may accept again: it lacked files.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// pause waits a little, and reports whether the lobby is still open.
func (l *lobby) pause() bool {
	select {
	case <-time.After(10 * time.Millisecond):
		return true
	case <-l.ctx.Done():
		return false
	}
}

// reset closes a connection without a word, and without a port that lingers.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// receive hands a connection out, if it is let in, once its handshake is
// complete. Whose it is may first have to be read from it (PROXY protocol).
func (l *lobby) receive(c net.Conn) {
	from := c.RemoteAddr()
	if a := l.crowd.enter(from); !a.In {
		l.watch.cut(from, a.Why, "TCP")
		reset(c)
		return
	}
	v := l.visit(c)
	c = v
	if l.conf != nil {
		secure, err := l.shake(v)
		if err != nil {
			c.Close()
			return
		}
		c = secure
	}
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		c.Close()
	}
}

// shake completes a handshake within the time.
func (l *lobby) shake(c *visit) (net.Conn, error) {
	secure := tls.Server(c, l.conf)
	if err := stricthttp.Shake(context.WithValue(l.ctx, helloKey{}, c.hello), secure, l.limit); err != nil {
		if errors.Is(err, stricthttp.ErrSlow) {
			l.watch.cut(c.RemoteAddr(), CutHandshake, "not complete in "+l.limit.String())
		}
		return nil, err
	}
	l.slim.take(secure)
	guarded, err := stricthttp.Guard(secure, l.about(secure))
	if h2, ok := guarded.(*framing.H2); ok {
		c.line.h2.Store(h2)
	}
	return guarded, err
}

// about returns the framing of one client's connection.
func (l *lobby) about(c net.Conn) framing.Config {
	f := l.framing
	if l.parking.takes(c) {
		f.Park, f.Rest, f.ParkAfter = l.parking.park, l.resting.rest, l.parking.after
	}
	f.Tell = func(k framing.Kind, why string) { l.watch.cut(c.RemoteAddr(), Cut(k), why) }
	return f
}

// Accept implements net.Listener.
func (l *lobby) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		if l.err != nil {
			return nil, l.err
		}
		return nil, net.ErrClosed
	}
}

// leave lets nobody in any more, and returns once all who had come are handed
// out, or ctx is over.
func (l *lobby) leave(ctx context.Context) {
	defer context.AfterFunc(ctx, l.cancel)()
	l.leaving.Store(true)
	l.Listener.Close() // Close does it again, and says what came of it
	l.inside.Wait()
}

// Close implements net.Listener. Handshakes in progress end.
func (l *lobby) Close() error {
	err := l.Listener.Close()
	l.cancel()
	l.inside.Wait()
	return err
}

// A visit is a connection that is counted until it is closed.
type visit struct {
	net.Conn
	leave func()
	hello *atomic.Pointer[hello] // that it began with
	line  *line
}

func (l *lobby) visit(c net.Conn) *visit {
	from := c.RemoteAddr()
	return &visit{
		Conn: c, leave: sync.OnceFunc(func() { l.crowd.leave(from) }), hello: new(atomic.Pointer[hello]),
		line: &line{Conn: l.pace.Over(queued(c), func() {
			l.watch.cut(from, CutReader, "took too little of what was written")
			reset(c)
		})},
	}
}

// Read implements net.Conn.
func (v *visit) Read(p []byte) (int, error) {
	n, err := v.Conn.Read(p)
	v.line.Read(n)
	return n, err
}

// Write implements net.Conn.
func (v *visit) Write(p []byte) (int, error) {
	v.line.BeginWrite()
	n, err := v.Conn.Write(p)
	v.line.EndWrite(n)
	return n, err
}

// introduced returns the context of a connection that left the lobby, with the
// hello that it began with.
func introduced(ctx context.Context, c net.Conn) context.Context {
	if v := visitOf(c); v != nil {
		return context.WithValue(context.WithValue(ctx, helloKey{}, v.hello), lineKey{}, v.line)
	}
	return ctx
}

// visitOf returns what a connection is that left the lobby; nil if it is another's.
func visitOf(c net.Conn) *visit {
	if g, ok := c.(sitter); ok {
		c = g.Under()
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	v, _ := c.(*visit)
	return v
}

// Close implements net.Conn.
func (v *visit) Close() error {
	v.leave()
	v.line.Close()
	return v.Conn.Close()
}
