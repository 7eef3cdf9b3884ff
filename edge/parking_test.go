package edge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func parkAfter(d time.Duration) option {
	return func(c *Config, _ *Deps, _ *world) { c.Timeouts.Park = d }
}

// A talk is a connection of HTTP/1.1 on which a test asks.
type talk struct {
	t *testing.T
	*tls.Conn
	in *bufio.Reader
}

func (w *world) talk(t *testing.T, over net.Conn) *talk {
	t.Helper()
	if over == nil {
		https, _ := w.Addrs()
		var err error
		if over, err = net.Dial("tcp", https.String()); err != nil {
			t.Fatal(err)
		}
	}
	c := tls.Client(over, &tls.Config{RootCAs: w.roots, ServerName: domain})
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &talk{t, c, bufio.NewReader(c)}
}

func question(path string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, domain)
}

// answered reads a response, and what it is to.
func (k *talk) answered(path string) {
	k.t.Helper()
	resp, err := http.ReadResponse(k.in, nil)
	if err != nil {
		k.t.Fatalf("%s: %v", path, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), " "+path+" ") {
		k.t.Fatalf("%s: %q, %v", path, text, err)
	}
}

func TestParkedConnectionGoesOn(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(20*time.Millisecond))
	k := w.talk(t, nil)
	for i := range 3 {
		a, b := fmt.Sprintf("/a%d", i), fmt.Sprintf("/b%d", i)
		io.WriteString(k, question(a)+question(b)) // the second waits in the guard
		k.answered(a)
		k.answered(b)
		w.until("parked", func() bool { return w.crowd.parked.Load() == 1 })
		if n := w.crowd.count(); n != 1 {
			t.Errorf("%d connections are counted", n)
		}
	}
	half := question("/c")
	io.WriteString(k, half[:1])
	w.until("off the parking", func() bool { return w.crowd.parked.Load() == 0 })
	io.WriteString(k, half[1:])
	k.answered("/c")
	w.until("parked", func() bool { return w.crowd.parked.Load() == 1 })
	io.WriteString(k, "GET / HTTP/1.1\r\nHost : a\r\n\r\n") // the guard looks at what comes after, too
	if out, _ := io.ReadAll(k.in); !strings.HasPrefix(string(out), "HTTP/1.1 400 ") {
		t.Errorf("%q", out)
	}
}

// A bit by bit connection sends half of what is written, and the rest when told.
type bitByBit struct {
	net.Conn
	rest chan struct{} // nil: all at once
}

func (b *bitByBit) Write(p []byte) (int, error) {
	if b.rest == nil {
		return b.Conn.Write(p)
	}
	n, err := b.Conn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	<-b.rest
	m, err := b.Conn.Write(p[n:])
	return n + m, err
}

// Net/http reads on while a request is answered, to hear of a client that goes.
func TestConnectionIsNotParkedWhileARequestIsAnswered(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond)
		fmt.Fprintf(w, "to %s .", r.URL.Path)
	}}
	w := newWorld(t, []*region{g}, parkAfter(20*time.Millisecond))
	k := w.talk(t, nil)
	io.WriteString(k, question("/a")+question("/b")+question("/c"))
	for _, path := range []string{"/a", "/b", "/c"} {
		k.answered(path)
	}
}

func TestHalfARecordOfTLSIsParked(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(20*time.Millisecond))
	https, _ := w.Addrs()
	tcp, err := net.Dial("tcp", https.String())
	if err != nil {
		t.Fatal(err)
	}
	b := &bitByBit{Conn: tcp}
	k := w.talk(t, b)
	io.WriteString(k, question("/a"))
	k.answered("/a")
	b.rest = make(chan struct{})
	go io.WriteString(k, question("/b"))
	w.until("parked", func() bool { return w.crowd.parked.Load() == 1 })
	close(b.rest)
	k.answered("/b")
}

// Half of a record wakes a parked connection, and is no request: the connection
// is parked again and not ended with the time that a head may take.
func TestWhatIsNoRequestLeavesAConnectionIdle(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(20*time.Millisecond), func(c *Config, _ *Deps, _ *world) {
		c.Timeouts.Header = 100 * time.Millisecond
	})
	https, _ := w.Addrs()
	tcp, err := net.Dial("tcp", https.String())
	if err != nil {
		t.Fatal(err)
	}
	b := &bitByBit{Conn: tcp}
	k := w.talk(t, b)
	io.WriteString(k, question("/a"))
	k.answered("/a")
	w.until("parked", func() bool { return w.crowd.parked.Load() == 1 })
	b.rest = make(chan struct{})
	go io.WriteString(k, question("/b"))
	time.Sleep(3 * w.cfg.Timeouts.Header) // the client's own time
	w.until("parked again", func() bool { return w.crowd.parked.Load() == 1 })
	close(b.rest)
	k.answered("/b")
	if n := w.crowd.count(); n != 1 {
		t.Errorf("%d connections are counted", n)
	}
}

// The time until a connection is parked is none that a request line must keep.
func TestHalfARequestLineIsNotCutByParking(t *testing.T) {
	const after = 200 * time.Millisecond
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(after))
	k := w.talk(t, nil)
	for range 2 { // the second time it comes from the parking
		io.WriteString(k, question("/a"))
		k.answered("/a")
		line := question("/b")
		io.WriteString(k, line[:3])
		time.Sleep(2 * after) // the client's own time
		io.WriteString(k, line[3:])
		k.answered("/b")
		w.until("parked", func() bool { return w.crowd.parked.Load() == 1 })
	}
}

func TestNoByteIsLostAroundParking(t *testing.T) {
	const after = 5 * time.Millisecond
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(after))
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			k := w.talk(t, nil)
			for i := range 100 {
				path := fmt.Sprintf("/%d", i)
				io.WriteString(k, question(path))
				k.answered(path)
				time.Sleep(rand.N(2 * after)) // not a wait: the client's own time
			}
		})
	}
}

func TestParkedConnectionsAreBoundedAndEnd(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(20*time.Millisecond), func(c *Config, _ *Deps, _ *world) {
		c.Limits.ConnectionsPerClient, c.Timeouts.Idle = 2, 2*time.Second
	})
	var talks []*talk
	for range 2 {
		k := w.talk(t, nil)
		io.WriteString(k, question("/a"))
		k.answered("/a")
		talks = append(talks, k)
	}
	w.until("parked", func() bool { return w.crowd.parked.Load() == 2 })
	https, _ := w.Addrs()
	if c, err := net.Dial("tcp", https.String()); err == nil && w.talk(t, c).Handshake() == nil { // it may be cut before it stands
		t.Error("a third connection is let in")
	}
	for _, k := range talks { // the idle time goes on
		if n, err := k.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d, %v; want the end", n, err)
		}
	}
	w.until("gone", func() bool { return w.crowd.count() == 0 && w.crowd.parked.Load() == 0 })
}

func TestStopEndsParkedConnections(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(20*time.Millisecond))
	k := w.talk(t, nil)
	io.WriteString(k, question("/a"))
	k.answered("/a")
	w.until("parked", func() bool { return w.crowd.parked.Load() == 1 })
	begin := time.Now()
	w.stop()
	if took := time.Since(begin); took > w.cfg.Timeouts.Drain/2 {
		t.Errorf("stopping took %v", took)
	}
	if _, err := k.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v, want the end", err)
	}
}

func TestNothingIsParkedWhereThatIsOff(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, parkAfter(-1))
	k := w.talk(t, nil)
	for range 2 {
		io.WriteString(k, question("/a"))
		k.answered("/a")
		time.Sleep(50 * time.Millisecond)
		if w.crowd.parked.Load() != 0 {
			t.Error("parked")
		}
	}
}
