package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// A ProxyProtocol names the load balancers in front of the edge that begin each
// connection with its client's address (HAProxy's PROXY protocol, versions 1 and
// 2). What they say is believed and must be said; from others it is refused.
type ProxyProtocol struct {
	From    []netip.Prefix
	Timeout time.Duration // for the header to come; 0 means 5 s
}

// A behind is an engine behind load balancers.
type behind struct {
	Engine
	rule    ProxyProtocol
	refused func(peer net.Addr, why string)
}

// Serve implements Engine.
func (b *behind) Serve(ctx context.Context, l net.Listener, conf *tls.Config, h http.Handler) error {
	return b.Engine.Serve(ctx, b.rule.behind(l, b.refused), conf, h)
}

// behind returns a listener whose connections bear the addresses of the clients.
// refused hears of those that broke the rule, and why: a word of a closed set.
func (p ProxyProtocol) behind(l net.Listener, refused func(peer net.Addr, why string)) net.Listener {
	if len(p.From) == 0 {
		return l
	}
	orDefault(&p.Timeout, 5*time.Second)
	return &proxied{l, p, refused}
}

// trusts reports whether a peer is one of the load balancers.
func (p ProxyProtocol) trusts(peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(p.From, func(n netip.Prefix) bool { return n.Contains(addr) })
}

type proxied struct {
	net.Listener
	rule    ProxyProtocol
	refused func(net.Addr, string)
}

// Accept implements net.Listener. The header is read when the connection is, so
// that who sends none keeps nobody waiting.
func (l *proxied) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	policy := proxyproto.REJECT
	if l.rule.trusts(c.RemoteAddr()) {
		policy = proxyproto.REQUIRE
	}
	conn := proxyproto.NewConn(&headline{Conn: c}, proxyproto.WithPolicy(policy), proxyproto.SetReadHeaderTimeout(l.rule.Timeout), proxyproto.ValidateHeader(overTCP))
	return &proxiedConn{Conn: conn, socket: c, refused: l.refused}, nil
}

// A headline is a connection whose first read has all of a header of version 1, in
// however many segments it came: the library takes one from a single read alone.
// It ends with its line, and with its time.
type headline struct {
	net.Conn
	held []byte // what came first
	err  error  // after that
	past bool   // the header has come, or there is none
}

// maxHeadline is how long a header of version 1 may be, in bytes.
const maxHeadline = 107

// Read implements net.Conn.
func (h *headline) Read(p []byte) (int, error) {
	for !h.past {
		b := make([]byte, maxHeadline)
		n, err := h.Conn.Read(b)
		h.held, h.err = append(h.held, b[:n]...), err
		h.past = err != nil || !unfinished(h.held)
	}
	if len(h.held) > 0 {
		n := copy(p, h.held)
		if h.held = h.held[n:]; len(h.held) == 0 {
			h.held = nil
		}
		return n, nil
	}
	if err := h.err; err != nil {
		h.err = nil
		return 0, err
	}
	return h.Conn.Read(p)
}

// unfinished reports whether more must come to know a header of version 1.
func unfinished(b []byte) bool {
	const begins = "PROXY"
	n := min(len(b), len(begins))
	return string(b[:n]) == begins[:n] && len(b) < maxHeadline && bytes.IndexByte(b, '\n') < 0
}

// errNotTCP is of a header that speaks of no TCP connection.
var errNotTCP = errors.New("the PROXY header is of no TCP connection")

// overTCP refuses addresses that are no client's of an edge. A load balancer
// that speaks for itself (LOCAL, UNKNOWN) names none.
func overTCP(h *proxyproto.Header) error {
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return nil
	}
	if _, ok := h.SourceAddr.(*net.TCPAddr); !ok {
		return fmt.Errorf("%w: %T", errNotTCP, h.SourceAddr)
	}
	return nil
}

// A proxiedConn tells once if its beginning broke the rule.
type proxiedConn struct {
	*proxyproto.Conn
	socket  net.Conn
	told    sync.Once
	refused func(net.Addr, string)
}

// Read implements io.Reader.
func (c *proxiedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if why := broken(err); why != "" {
		c.told.Do(func() { c.refused(c.socket.RemoteAddr(), why) })
	}
	return n, err
}

// broken returns which rule an error is of, or "".
func broken(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, proxyproto.ErrSuperfluousProxyHeader):
		return "untrusted"
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return "missing"
	case errors.Is(err, errNotTCP):
		return "not-tcp"
	case strings.HasPrefix(err.Error(), "proxyproto: "):
		return "malformed"
	}
	return ""
}

// refusedPeer counts a connection that the rule does not let in.
func (e *Edge) refusedPeer(peer net.Addr, why string) {
	e.metrics.peers.WithLabelValues(why).Inc()
	e.deps.Log.Debug("a connection broke the rule of the PROXY protocol", "peer", peer.String(), "why", why)
}
