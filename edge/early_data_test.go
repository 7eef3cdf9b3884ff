package edge

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A recording keeps what a client sent, and holds back what it is sent until it
// may hear.
type recording struct {
	net.PacketConn
	hear chan struct{}
	mu   sync.Mutex
	sent [][]byte
}

func (r *recording) ReadFrom(p []byte) (int, net.Addr, error) {
	<-r.hear
	return r.PacketConn.ReadFrom(p)
}

func (r *recording) WriteTo(p []byte, a net.Addr) (int, error) {
	r.mu.Lock()
	r.sent = append(r.sent, append([]byte(nil), p...))
	r.mu.Unlock()
	return r.PacketConn.WriteTo(p, a)
}

// RFC 8470: an attacker sends a client's first flight again. A safe request in
// it may be executed again, another never.
func TestReplayedEarlyDataWritesNothing(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprintf("guarded=%v", guarded), func(t *testing.T) { playAgain(t, guarded) })
	}
}

func playAgain(t *testing.T, guarded bool) {
	var writes, reads, early atomic.Int32
	g := &region{name: "eu-west-1", serve: func(_ http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "POST":
			writes.Add(1)
		case r.Method == "GET" && r.URL.Path == "/early":
			reads.Add(1)
			if r.Header.Get("Early-Data") == "1" {
				early.Add(1)
			}
		}
	}}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.HTTP3.Replay, c.Timeouts.Handshake = !guarded, 2*time.Second })
	https, _ := w.Addrs()
	conf := &tls.Config{RootCAs: w.roots, ServerName: domain, ClientSessionCache: newTickets(), NextProtos: []string{"h3"}}
	warm(t, w, conf)
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &recording{PacketConn: l, hear: make(chan struct{})}
	tr := &quic.Transport{Conn: rec}
	defer func() { tr.Close(); l.Close() }()
	to := net.UDPAddrFromAddrPort(https.(*net.TCPAddr).AddrPort())
	conn, err := tr.DialEarly(t.Context(), to, conf, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cc := (&http3.Transport{}).NewClientConn(conn)
	for _, method := range []string{"POST", "GET"} {
		sendEarly(t, cc, method, w.url+"/early")
	}
	w.until("read before the handshake is complete", func() bool { return reads.Load() == 1 && (guarded || writes.Load() == 1) })
	if guarded && writes.Load() != 0 {
		t.Error("a write was executed before the handshake was complete")
	}
	close(rec.hear)
	<-conn.HandshakeComplete()
	if !conn.ConnectionState().Used0RTT {
		t.Fatal("the edge did not take early data")
	}
	w.until("executed", func() bool { return writes.Load() == 1 })
	rec.mu.Lock()
	flight := rec.sent
	rec.mu.Unlock()
	again, err := net.Dial("udp", https.String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	conn.CloseWithError(0, "")
	w.until("read again", func() bool { // once the edge has forgotten the first connection
		for _, p := range flight {
			again.Write(p)
		}
		return reads.Load() == 2
	})
	if guarded && early.Load() == 0 {
		t.Error("no region heard Early-Data")
	}
	if guarded {
		w.until("rid of the attacker, whose handshake never ends", func() bool { return w.crowd.count() == 0 })
		if n := writes.Load(); n != 1 {
			t.Errorf("the write was executed %d times", n)
		}
		return
	}
	w.until("written again, without the guard", func() bool { return writes.Load() == 2 })
}

// tickets keeps TLS sessions, and says when it has one.
type tickets struct {
	tls.ClientSessionCache
	has  chan struct{}
	once *sync.Once
}

func newTickets() tickets {
	return tickets{tls.NewLRUClientSessionCache(4), make(chan struct{}), new(sync.Once)}
}

func (c tickets) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	c.once.Do(func() { close(c.has) })
}

// warm makes a connection that leaves a session to resume.
func warm(t *testing.T, w *world, conf *tls.Config) {
	t.Helper()
	https, _ := w.Addrs()
	conn, err := quic.DialAddr(t.Context(), https.String(), conf, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	<-conf.ClientSessionCache.(tickets).has
	conn.CloseWithError(0, "")
}

// sendEarly sends a request at once, whatever its method.
func sendEarly(t *testing.T, cc *http3.ClientConn, method, url string) {
	t.Helper()
	s, err := cc.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(method, url, nil)
	if err := s.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestUnsafeRequestThatMayBeAReplayIsTooEarly(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for _, tt := range []struct {
		method, early string
		want          int
	}{{"POST", "1", 425}, {"DELETE", "0, 1", 425}, {"GET", "1", 200}} {
		if got := w.do(tt.method, "/", "", "Early-Data", tt.early); got.status != tt.want {
			t.Errorf("%s with Early-Data %s: %d, want %d", tt.method, tt.early, got.status, tt.want)
		}
	}
	if got := w.do("POST", "/", ""); got.status != 200 {
		t.Errorf("without: %d", got.status)
	}
}
