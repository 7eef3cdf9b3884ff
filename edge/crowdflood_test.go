package edge

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// at is a dialer from an address of this machine's network of its own.
func at(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// TestAFloodOfOneClientKeepsNobodyElseOut: it opens hundreds of connections on which
// no handshake is completed, over TCP and QUIC. It has as many as one client may,
// which end in time; other addresses are answered meanwhile, by each protocol.
func TestAFloodOfOneClientKeepsNobodyElseOut(t *testing.T) {
	const flooder, innocent, own = "127.0.0.2", "127.0.0.3", 20
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) {
		c.Limits.ConnectionsPerClient = own
		c.Timeouts.Handshake = 5 * time.Second
	})
	https, _ := w.Addrs()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range 300 {
		c, err := at(flooder).DialContext(t.Context(), "tcp", https.String())
		if err != nil {
			continue // it is refused so fast
		}
		if open = append(open, c); i%2 == 0 {
			c.Write([]byte{22, 3, 1, 2, 0, 1}) // the beginning of a handshake
		}
	}
	w.until("refused", func() bool { return w.cuts(CutClient) >= 1 })
	stop := deafly(t, flooder, https, 100)
	for _, alpn := range []string{"http/1.1", "h2"} {
		c, err := tls.DialWithDialer(at(innocent), "tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{alpn}})
		if err != nil {
			t.Fatalf("another client, %s: %v", alpn, err)
		}
		c.Close()
	}
	if text := w.from3(t, innocent); !strings.Contains(text, "eu-west-1 GET") {
		t.Errorf("another client, over HTTP/3: %q", text)
	}
	if _, err := tls.DialWithDialer(at(flooder), "tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain}); err == nil {
		t.Error("the flooder itself is let in")
	}
	stop()
	w.until("cut in time, and counted", func() bool { return w.cuts(CutHandshake) >= 1 && w.crowd.count() <= 1 })
	if n := strings.Count(w.log.String(), "cause=client"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	if got := w.do("GET", "/", ""); got.status != 200 {
		t.Errorf("in the end: %d", got.status)
	}
}

// from3 asks over HTTP/3 from an address.
func (w *world) from3(t *testing.T, address string) string {
	t.Helper()
	https, _ := w.Addrs()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: socket}
	defer func() { tr.Close(); socket.Close() }()
	c, err := tr.Dial(t.Context(), net.UDPAddrFromAddrPort(https.(*net.TCPAddr).AddrPort()), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatalf("from %s over QUIC: %v", address, err)
	}
	defer c.CloseWithError(0, "")
	s := bare{c, t}.ask(asking3("/"))
	s.Close()
	text, _ := io.ReadAll(s)
	return string(text)
}

// deafly begins handshakes of QUIC from an address, which hears no answer to them:
// it may be another's.
func deafly(t *testing.T, address string, to net.Addr, n int) (stop func()) {
	t.Helper()
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address)})
	if err != nil {
		t.Fatal(err)
	}
	d := &deaf{PacketConn: socket, sent: make(chan struct{}, n)}
	tr := &quic.Transport{Conn: d}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	stop = sync.OnceFunc(func() { cancel(); all.Wait(); tr.Close(); socket.Close() })
	t.Cleanup(stop)
	for range n {
		all.Go(func() {
			tr.Dial(ctx, net.UDPAddrFromAddrPort(to.(*net.TCPAddr).AddrPort()), &tls.Config{ServerName: domain, NextProtos: []string{"h3"}}, nil)
		})
	}
	for range n {
		<-d.sent
	}
	return stop
}

// A deaf socket sends, and hears nothing until it is closed.
type deaf struct {
	net.PacketConn
	sent chan struct{}
}

func (d *deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if n, from, err := d.PacketConn.ReadFrom(p); err != nil {
			return n, from, err
		}
	}
}

func (d *deaf) WriteTo(p []byte, to net.Addr) (int, error) {
	n, err := d.PacketConn.WriteTo(p, to)
	select {
	case d.sent <- struct{}{}:
	default:
	}
	return n, err
}

// Who sends the first packets of handshakes under another's address takes at most
// half of that one's connections: it is then asked for a proof that it cannot give,
// and that the other can.
func TestNobodyIsKeptOutUnderItsOwnAddress(t *testing.T) {
	const victim, own = "127.0.0.2", 10
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Limits.ConnectionsPerClient = own })
	https, _ := w.Addrs()
	deafly(t, victim, https, 80)
	if text := w.from3(t, victim); !strings.Contains(text, "eu-west-1 GET") {
		t.Errorf("over HTTP/3: %q", text)
	}
	c, err := tls.DialWithDialer(at(victim), "tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		t.Fatalf("over TCP: %v", err)
	}
	c.Close()
	if n := w.cuts(CutClient); n != 0 {
		t.Errorf("%v were refused", n)
	}
}
