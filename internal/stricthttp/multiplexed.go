package stricthttp

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"meridian/internal/framing"
	"meridian/internal/headroom"
)

// A Multiplexed is net/http's server of HTTP/2, behind framing's guard. It serves
// a connection as often as that comes back from its rest.
type Multiplexed struct {
	srv *http.Server
	h2  func(*http.Server, *tls.Conn, http.Handler) // serves a connection

	mu   sync.Mutex               // guards what follows
	open map[net.Conn]*framing.H2 // by what net/http has of each
}

// NewMultiplexed returns a server that is set up as srv says, which is its own from
// now on; of ConnContext the connection is the guarded one. Net/http takes a
// connection that is not of crypto/tls for HTTP/2 only under a name of its own, in
// the disguise of a *tls.Conn; it knows that name once it has begun to serve.
func NewMultiplexed(srv *http.Server) *Multiplexed {
	const name = "unencrypted_http2" // of net/http
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.Default()
	}
	srv.ConnState = tellLife
	srv.Serve(nobody{})
	h2 := srv.TLSNextProto[name]
	if h2 == nil {
		panic("net/http has no HTTP/2 for connections of others")
	}
	return &Multiplexed{srv: srv, h2: h2, open: map[net.Conn]*framing.H2{}}
}

// A nobody is a listener to whom nobody comes.
type nobody struct{ net.Listener }

// Accept implements net.Listener.
func (nobody) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close implements net.Listener.
func (nobody) Close() error { return nil }

// Accept serves what comes back from its rest, until nothing does any more.
func (m *Multiplexed) Accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		m.Serve(c.(*framing.H2))
	}
}

// tellLife tells a connection of HTTP/2 what net/http has begun or ended.
func tellLife(c net.Conn, s http.ConnState) {
	life, ok := c.(interface {
		Rests()
		Works()
	})
	switch {
	case !ok:
	case s == http.StateIdle:
		life.Rests()
	case s == http.StateActive:
		life.Works()
	}
}

// Serve begins to serve a connection, until it ends or rests.
func (m *Multiplexed) Serve(c *framing.H2) { go m.run(c, m.begin(c)) }

// Run is Serve that returns when the connection ended or rests.
func (m *Multiplexed) Run(c *framing.H2) { m.run(c, m.begin(c)) }

func (m *Multiplexed) begin(c *framing.H2) (life net.Conn) {
	life = c.Begin()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[life] = c
	return life
}

func (m *Multiplexed) run(c *framing.H2, life net.Conn) {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.open, life)
	}()
	defer func() {
		if p := recover(); p != nil { // as net/http does
			m.srv.ErrorLog.Printf("http2: panic serving %s: %v\n%s", c.RemoteAddr(), p, debug.Stack())
			c.Under().Close()
		}
	}()
	m.h2(m.srv, tls.Client(disguise{conn: life}, nil), &oneClient{m.introduced(c), c, m.srv.Handler})
}

// introduced returns the context of a connection's requests.
func (m *Multiplexed) introduced(c *framing.H2) context.Context {
	if m.srv.ConnContext == nil {
		return context.Background()
	}
	return m.srv.ConnContext(context.Background(), c)
}

// Shutdown tells clients that their connections end, and returns once all have, or
// ctx is over: then it ends them.
func (m *Multiplexed) Shutdown(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for m.srv.Shutdown(ctx); m.count() > 0; m.srv.Shutdown(ctx) { // each tells those that have begun since
		select {
		case <-ctx.Done():
			m.Close()
			return
		case <-tick.C:
		}
	}
}

func (m *Multiplexed) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// Close ends all connections.
func (m *Multiplexed) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.open {
		c.Under().Close()
	}
}

// A oneClient is the handler of one connection, which knows how many of it run.
type oneClient struct {
	ctx context.Context
	c   *framing.H2
	h   http.Handler
}

// BaseContext is what net/http asks for.
func (h *oneClient) BaseContext() context.Context { return h.ctx }

// ServeHTTP implements http.Handler.
func (h *oneClient) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" { // as net/http does
		w.Header().Set("Content-Length", "0")
		return
	}
	if n, ours := h.c.Spends(); ours {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(make([]byte, n))
		return
	}
	headroom.Make()
	h.c.Enter()
	defer h.c.Leave()
	h.h.ServeHTTP(w, r)
}

// A disguise is what net/http finds the connection in.
type disguise struct {
	net.Conn // nil
	conn     net.Conn
}

// UnencryptedNetConn is what net/http asks for.
func (d disguise) UnencryptedNetConn() net.Conn { return d.conn }
