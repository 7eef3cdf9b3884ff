package backbone

import (
	"encoding/binary"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// A mux is a link as one of its ends holds it: a yamux session, which a
// goroutine watches over.
type mux struct {
	*yamux.Session
	wire    *wire
	watched sync.WaitGroup
}

// newMux starts a session on a connection. Its end is known within idle plus
// deadAfter, and within keepalive plus deadAfter if this end waits for an
// answer.
func (b *Backbone) newMux(c net.Conn, start func(*wire, *yamux.Config) (*yamux.Session, error), idle time.Duration) (*mux, error) {
	w := newWire(c)
	s, err := start(w, b.muxConfig())
	if err != nil {
		c.Close()
		return nil, err
	}
	m := &mux{Session: s, wire: w}
	m.watched.Go(func() { m.watch(idle) }) // Close waits for it
	return m, nil
}

func client(w *wire, c *yamux.Config) (*yamux.Session, error) { return yamux.Client(w, c) }
func server(w *wire, c *yamux.Config) (*yamux.Session, error) { return yamux.Server(w, c) }

// Close ends the session and all its streams.
func (m *mux) Close() error {
	err := m.Session.Close()
	m.watched.Wait()
	return err
}

// watch pings where that can tell something new, and ends a session that does
// not answer. Yamux's own keepalive would ping every link at the pace that a
// busy one needs, and a world has hundreds.
func (m *mux) watch(idle time.Duration) {
	tick := time.NewTicker(keepalive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.CloseChan():
			return
		}
		if !m.wire.wantsPing(time.Now(), idle) {
			continue
		}
		if _, err := m.Ping(); err != nil {
			m.Session.Close()
			return
		}
	}
}

// muxConfig is that of both ends of a link.
func (b *Backbone) muxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.AcceptBacklog = streamBacklog
	c.EnableKeepAlive = false // watch does that
	c.ConnectionWriteTimeout = deadAfter
	c.MaxStreamWindowSize = streamWindow
	c.StreamOpenTimeout = 0 // watch sees to it
	c.StreamCloseTimeout = 5 * time.Second
	c.LogOutput = nil
	c.Logger = slog.NewLogLogger(b.log.Handler(), slog.LevelDebug)
	return c
}

// A wire is the connection below a session. It sends a frame's header and body
// together, which yamux writes one by one, and remembers when it last carried
// something each way.
type wire struct {
	net.Conn
	held  []byte       // a header that waits for its body; for Write alone
	heard atomic.Int64 // when anything was read, in Unix nanoseconds
	said  atomic.Int64 // when data was last written; pings do not count
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	w.heard.Store(time.Now().UnixNano())
	return w
}

// The parts of yamux's frame header that matter here: version, type, flags
// (2 bytes), stream (4 bytes), length (4 bytes).
const (
	headerSize = 12
	typeData   = 0
)

func (w *wire) Write(b []byte) (int, error) {
	if len(b) == headerSize && len(w.held) == 0 && b[1] == typeData && binary.BigEndian.Uint32(b[8:]) > 0 {
		w.held = append(w.held, b...)
		w.said.Store(time.Now().UnixNano())
		return len(b), nil
	}
	if len(w.held) == 0 {
		return w.Conn.Write(b)
	}
	w.held = append(w.held, b...)
	_, err := w.Conn.Write(w.held)
	w.held = w.held[:0]
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.heard.Store(time.Now().UnixNano())
	return n, err
}

// wantsPing reports whether nothing was heard since data was sent a keepalive
// ago, or nothing at all for an idle time.
func (w *wire) wantsPing(now time.Time, idle time.Duration) bool {
	heard, said := time.Unix(0, w.heard.Load()), time.Unix(0, w.said.Load())
	return now.Sub(heard) >= idle || said.After(heard) && now.Sub(said) >= keepalive/2
}
