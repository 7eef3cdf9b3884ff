package edge

import (
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// guests are the connections of HTTP/3 that are open. One on which nothing was
// asked for a while is closed, whatever is half open on it: quic-go's own timer
// stands still while a stream has sent half of its headers.
type guests struct {
	idle time.Duration

	mu  sync.Mutex // guards what follows
	all map[*guest]struct{}
}

// A guest is one connection.
type guest struct {
	of     *guests
	conn   *quic.Conn
	line   *line
	shaken func() // its handshake is over; may be called again

	mu      sync.Mutex                     // guards what follows
	streams map[quic.StreamID]*quic.Stream // of requests

	busy  int         // requests that are being answered; guarded by of.mu
	timer *time.Timer // closes it; guarded by of.mu
}

// asks notes the stream of a request until it is answered.
func (g *guest) asks(s *quic.Stream) (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streams == nil {
		g.streams = map[quic.StreamID]*quic.Stream{}
	}
	g.streams[s.StreamID()] = s
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.streams, s.StreamID())
	}
}

// stream returns the one that a body comes on; nil if it bears no number.
func (g *guest) stream(body io.Reader) *quic.Stream {
	b, ok := body.(interface{ StreamID() quic.StreamID })
	if !ok {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.streams[b.StreamID()]
}

func (gs *guests) add(g *guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.all[g] = struct{}{}
	g.timer = time.AfterFunc(gs.idle, g.bore)
}

func (gs *guests) remove(g *guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	delete(gs.all, g)
	g.timer.Stop()
}

// dismiss closes the connections on which nothing is being answered.
func (gs *guests) dismiss() {
	gs.mu.Lock()
	var idle []*guest
	for g := range gs.all {
		if g.busy == 0 {
			idle = append(idle, g)
		}
	}
	gs.mu.Unlock()
	for _, g := range idle {
		g.close()
	}
}

func (g *guest) begin() {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	g.busy++
	g.timer.Stop()
}

func (g *guest) end() {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	g.busy--
	if _, open := g.of.all[g]; open && g.busy == 0 {
		g.timer.Reset(g.of.idle)
	}
}

// bore closes a connection on which nothing was asked for too long.
func (g *guest) bore() {
	g.of.mu.Lock()
	busy := g.busy > 0
	g.of.mu.Unlock()
	if !busy {
		g.close()
	}
}

func (g *guest) close() {
	g.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}
