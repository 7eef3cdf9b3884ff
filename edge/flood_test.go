package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/quic-go/quic-go"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian/internal/stricthttp"
)

// frames returns a connection of HTTP/2 on which a test says what it likes.
func (w *world) frames() (net.Conn, *http2.Framer) {
	w.t.Helper()
	https, _ := w.Addrs()
	c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"h2"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	return c, fr
}

func (w *world) cuts(why Cut) float64 {
	return testutil.ToFloat64(w.watch.cuts.WithLabelValues(string(why)))
}

func TestFloodIsEndedLoggedAndCounted(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for range 2 {
		_, fr := w.frames()
		for range 300 {
			fr.WritePing(false, [8]byte{}) // fails once the edge has closed
		}
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatalf("no GOAWAY: %v", err)
			}
			if g, ok := f.(*http2.GoAwayFrame); ok {
				if g.ErrCode != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("GOAWAY %s", g.ErrCode)
				}
				break
			}
		}
	}
	if got := w.cuts("pings"); got != 2 {
		t.Errorf("%v connections were counted, want 2", got)
	}
	if n := strings.Count(w.log.String(), "a client was cut off"); n != 1 || !strings.Contains(w.log.String(), "cause=pings") {
		t.Errorf("told %d times, want once:\n%s", n, w.log)
	}
	if got := w.do("GET", "/", ""); got.status != 200 {
		t.Errorf("another client: %d", got.status)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	for name, limits := range map[Cut]Limits{CutFull: {Connections: 2}, CutClient: {ConnectionsPerClient: 2}} {
		w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Limits = limits })
		https, _ := w.Addrs()
		conf := &tls.Config{RootCAs: w.roots, ServerName: domain}
		var open []net.Conn
		for range 2 {
			c, err := tls.Dial("tcp", https.String(), conf)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
		if c, err := tls.Dial("tcp", https.String(), conf); err == nil {
			c.Close()
			t.Errorf("%s: a third connection is let in", name)
		}
		w.until("counted", func() bool { return w.cuts(name) == 1 })
		_, err := quic.DialAddr(t.Context(), https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"h3"}}, nil)
		var refused *quic.TransportError
		if !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
			t.Errorf("%s: over QUIC: %v", name, err)
		}
		open[0].Close()
		w.until("let in again", func() bool {
			c, err := tls.Dial("tcp", https.String(), conf)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		open[1].Close()
		w.until("empty", func() bool { return w.crowd.count() == 0 })
	}
}

func TestAdmission(t *testing.T) {
	l := Limits{Connections: 10}
	for _, tt := range []struct {
		a    Arrival
		per  int
		want Cut
	}{
		{Arrival{All: 9, Own: 9}, 0, ""},
		{Arrival{All: 10}, 0, CutFull},
		{Arrival{All: 5, Own: 3}, 3, CutClient},
		{Arrival{All: 5, Own: 3, Near: true}, 3, CutClient},
		{Arrival{All: 5, Own: defaultPerClient, Near: true}, 0, ""},
		{Arrival{All: 5, Own: defaultPerClient}, 0, CutClient},
	} {
		l.ConnectionsPerClient = tt.per
		if got := Admit(tt.a, l); got.Why != tt.want || got.In != (tt.want == "") {
			t.Errorf("%+v, %d: %+v, want %q", tt.a, tt.per, got, tt.want)
		}
	}
	for addr, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1/32", "[::ffff:192.0.2.1]:5": "192.0.2.1/32", "[2001:db8:1:2:3::1]:5": "2001:db8:1:2::/64", "[fe80::1%lo]:5": "fe80::/64",
	} {
		if got, _ := stricthttp.ClientOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s is of %s, want %s", addr, got, want)
		}
	}
}

func TestHandshakeThatDoesNotComeIsCut(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Handshake = 100 * time.Millisecond })
	https, _ := w.Addrs()
	c, err := net.Dial("tcp", https.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte{22, 3, 1}) // the beginning of one
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	w.until("counted", func() bool { return w.cuts(CutHandshake) == 1 && w.crowd.count() == 0 })
}

func TestHeadThatDoesNotEndIsCut(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Header = 100 * time.Millisecond })
	if out := w.raw("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "); strings.Contains(out, " 200 ") {
		t.Errorf("%s", out)
	}
	w.until("counted", func() bool { return w.cuts("slow") == 1 })
}

func TestTargetWithASpaceIsRefusedOverHTTP2(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)})
	for path, want := range map[string]string{"/a b": "400", "/a HTTP/1.1": "400", "/a\x7f": "400", "/a%20b": "200"} {
		_, fr := w.frames()
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", domain}, {":path", path}} {
			e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatalf("%q: %v", path, err)
			}
			if _, ok := f.(*http2.RSTStreamFrame); ok && want == "400" { // net/http refuses it itself
				break
			}
			if h, ok := f.(*http2.MetaHeadersFrame); ok {
				if got := h.PseudoValue("status"); got != want {
					t.Errorf("%q: %s, want %s", path, got, want)
				}
				break
			}
		}
	}
}
