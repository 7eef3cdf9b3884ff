package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// v2 returns a header of version 2: PROXY over TCP of IPv4, from 203.0.113.9:4242.
func v2(command, family byte) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, 0, 12, 203, 0, 113, 9, 192, 0, 2, 1, 0x10, 0x92, 0x01, 0xbb})
}

const v1 = "PROXY TCP4 203.0.113.9 192.0.2.1 4242 443\r\n"

// trusting lets an edge take the PROXY protocol from networks.
func trusting(networks ...string) option {
	return func(c *Config, _ *Deps, _ *world) {
		for _, n := range networks {
			c.ProxyProtocol.From = append(c.ProxyProtocol.From, netip.MustParsePrefix(n))
		}
	}
}

// after asks for / over TLS on a connection that begins with a header.
func (w *world) after(header string) (string, error) {
	https, _ := w.Addrs()
	c, err := net.Dial("tcp", https.String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if header[0] == '\r' { // version 2 may come in pieces
		io.WriteString(c, header[:len(header)/2])
		header = header[len(header)/2:]
	}
	s := tls.Client(&opened{c, header}, &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	out, err := io.ReadAll(s)
	return string(out), err
}

// A opened connection writes something before what it is first told to.
type opened struct {
	net.Conn
	first string
}

func (b *opened) Write(p []byte) (int, error) {
	out := append([]byte(b.first), p...)
	b.first = ""
	n, err := b.Conn.Write(out)
	return n - len(out) + len(p), err
}

func forwardedFor() *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "for "+r.Header.Get("X-Forwarded-For"))
	}}
}

func TestTheClientIsWhomALoadBalancerNames(t *testing.T) {
	w := newWorld(t, []*region{forwardedFor()}, trusting("10.0.0.0/8", "127.0.0.0/8"))
	for name, tt := range map[string]struct{ header, want string }{
		"version 1":          {v1, "for 1.2.3.4, 203.0.113.9"},
		"version 1, IPv6":    {"PROXY TCP6 2001:db8::9 2001:db8::1 4242 443\r\n", "for 1.2.3.4, 2001:db8::9"},
		"version 1, unknown": {"PROXY UNKNOWN\r\n", "for 1.2.3.4, 127.0.0.1"},
		"version 2":          {v2(1, 0x11), "for 1.2.3.4, 203.0.113.9"},
		"version 2, itself":  {v2(0, 0), "for 1.2.3.4, 127.0.0.1"},
	} {
		if out, err := w.after(tt.header); err != nil || !strings.HasSuffix(out, tt.want) {
			t.Errorf("%s: %q, %v; want %q", name, out, err, tt.want)
		}
	}
	w.until("logged", func() bool { return strings.Contains(w.log.String(), "client=203.0.113.9:4242") })
	for header, why := range map[string]string{
		"\x16":      "missing", // TLS at once
		v2(1, 0x12): "not-tcp", // UDP
		v2(1, 0x31): "malformed",
		"PROXY TCP4 203.0.113.9 192.0.2.1 4242 999999\r\n": "malformed",
	} {
		before := testutil.ToFloat64(w.metrics.peers.WithLabelValues(why))
		if out, err := w.after(header); err == nil {
			t.Errorf("%q: %q", header, out)
		}
		w.until("refused as "+why, func() bool { return testutil.ToFloat64(w.metrics.peers.WithLabelValues(why)) == before+1 })
	}
}

// A header may come in segments, as small as they can be.
func TestAHeaderInPiecesIsOne(t *testing.T) {
	rule := ProxyProtocol{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tt := range []struct{ peer, text, want string }{
		{"10.0.0.7", v1, "203.0.113.9:4242"},
		{"10.0.0.7", "PROXY UNKNOWN\r\n", "10.0.0.7:1"},
		{"10.0.0.7", v2(1, 0x11), "203.0.113.9:4242"},
		{"10.0.0.7", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "malformed"},
		{"10.0.0.7", "PROXY", "malformed"},
		{"192.0.2.7", v1, "untrusted"},
		{"192.0.2.7", "", "192.0.2.7:1"},
	} {
		var told string
		from := &canned{bytes.NewReader([]byte(tt.text + "PUT it")), net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tt.peer), 1))}
		if tt.text == "PROXY" {
			from.Reader = bytes.NewReader([]byte(tt.text))
		}
		l := rule.behind(&once{&drop{from}}, func(_ net.Addr, why string) { told = why })
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(c)
		if told == "" && string(out) == "PUT it" && err == nil {
			told = c.RemoteAddr().String()
		}
		if told != tt.want {
			t.Errorf("%q from %s: %q, %q, %v; want %q", tt.text, tt.peer, told, out, err, tt.want)
		}
	}
}

// A drop is a connection on which each byte comes by itself.
type drop struct{ net.Conn }

func (d *drop) Read(p []byte) (int, error) { return d.Conn.Read(p[:min(len(p), 1)]) }

func TestWhoIsNotTrustedCannotNameAClient(t *testing.T) {
	w := newWorld(t, []*region{forwardedFor()}, trusting("10.0.0.0/8", "::/1"))
	for _, header := range []string{v1, v2(1, 0x11)} {
		if out, err := w.after(header); err == nil {
			t.Errorf("%q: %q", header, out)
		}
	}
	w.until("refused", func() bool { return testutil.ToFloat64(w.metrics.peers.WithLabelValues("untrusted")) == 2 })
	if got := w.do("GET", "/", ""); got.body != "for 127.0.0.1" {
		t.Errorf("without a header: %q", got.body)
	}
	// Without the rule nobody is believed.
	w = newWorld(t, []*region{forwardedFor()})
	if out, err := w.after(v1); err == nil {
		t.Errorf("%q", out)
	}
}

func TestALoadBalancerThatSaysNothingIsNotWaitedFor(t *testing.T) {
	w := newWorld(t, []*region{forwardedFor()}, trusting("127.0.0.0/8"), func(c *Config, _ *Deps, _ *world) { c.ProxyProtocol.Timeout = 20 * time.Millisecond })
	_, plain := w.Addrs()
	c, err := net.Dial("tcp", plain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the edge keeps the connection")
	}
	if n := testutil.ToFloat64(w.metrics.peers.WithLabelValues("missing")); n != 1 {
		t.Errorf("%v refused", n)
	}
}

// What a connection begins with is strangers' bytes: who is not trusted is never
// taken for another, who is trusted must say something that can be read, and
// what follows the header arrives whole.
func FuzzProxyProtocol(f *testing.F) {
	f.Add([]byte(v1+"GET"), true)
	f.Add([]byte(v2(1, 0x11)+"GET"), true)
	f.Add([]byte(v2(0, 0)+"GET"), true)
	f.Add([]byte(v2(1, 0x31)), true)
	f.Add([]byte(v1+"GET"), false)
	f.Add([]byte("GET / HTTP/1.1\r\n"), false)
	f.Add([]byte("PROXY TCP4 "), true)
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"), true)
	f.Fuzz(func(t *testing.T, b []byte, trusted bool) {
		rule := ProxyProtocol{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Timeout: time.Second}
		peer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}
		if trusted {
			peer.IP = net.IPv4(10, 0, 0, 7)
		}
		l := rule.behind(&once{&canned{bytes.NewReader(b), peer}}, func(net.Addr, string) {})
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(c)
		if from := c.RemoteAddr(); from != net.Addr(peer) {
			if _, tcp := from.(*net.TCPAddr); !trusted || !tcp || err != nil {
				t.Fatalf("%q: taken for %v (%v)", b, from, err)
			}
		}
		if err == nil && !bytes.HasSuffix(b, out) || !trusted && err == nil && !bytes.Equal(b, out) {
			t.Fatalf("%q became %q", b, out)
		}
		if trusted && err == nil && !bytes.HasPrefix(b, []byte("PROXY")) && !bytes.HasPrefix(b, []byte("\r\n\r\n\x00\r\nQUIT\n")) {
			t.Fatalf("%q was let in", b)
		}
	})
}

// once is a listener that accepts one connection.
type once struct{ c net.Conn }

func (o *once) Accept() (net.Conn, error) { return o.c, nil }
func (o *once) Close() error              { return nil }
func (o *once) Addr() net.Addr            { return &net.TCPAddr{} }

// A canned connection has said all that it ever says.
type canned struct {
	*bytes.Reader
	peer net.Addr
}

func (c *canned) Write(b []byte) (int, error)      { return len(b), nil }
func (c *canned) Close() error                     { return nil }
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *canned) RemoteAddr() net.Addr             { return c.peer }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
