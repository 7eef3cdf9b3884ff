package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
)

// A hops is a connection of HTTP/1.1 of whose answers nothing is lost that net/http
// drops. On it is read along what its server says in Connection: net/http
// drops that header from a response that ends its connection (Connection: close,
// X), and with it the names of what must not be passed on (RFC 9110, section 7.6.1).
type hops struct {
	net.Conn

	mu      sync.Mutex // guards what follows
	inHead  bool
	begun   bool   // the status line has been read
	interim bool   // of a 1xx response: another head follows
	folds   bool   // the last header was Connection, and may go on in the next line
	line    []byte // that is not whole yet
	said    []string
	wrote   bool // some of the request
	upgrade bool // it switched protocols

	silent chan struct{} // closed once nothing more can be read
	hushed sync.Once
}

// begin says that a request is about to be sent: what comes next is a head.
func (h *hops) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inHead, h.begun, h.said, h.line, h.wrote = true, false, nil, nil, false
}

// Write implements net.Conn. A server may answer before it has read all of a
// request, and take no more of it; its answer is then on the way, or there (RFC
// 9112, section 9.5). Net/http ends a connection unread of which a write fails. So
// a write fails once all is read, unless nothing was sent of the request.
func (h *hops) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	h.mu.Lock()
	h.wrote = h.wrote || n > 0
	wait := err != nil && h.wrote && !h.upgrade
	h.mu.Unlock()
	if wait {
		<-h.silent
	}
	return n, err
}

// Close implements net.Conn.
func (h *hops) Close() error {
	h.hush()
	return h.Conn.Close()
}

func (h *hops) hush() { h.hushed.Do(func() { close(h.silent) }) }

// Read implements net.Conn.
func (h *hops) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if err != nil {
		h.hush()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for rest := p[:n]; h.inHead && len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			if h.line = append(h.line, rest...); len(h.line) > maxCustomHeader {
				h.inHead = false // net/http refuses it
			}
			break
		}
		line := rest[:i]
		if len(h.line) > 0 {
			line = append(h.line, line...)
		}
		h.hear(bytes.TrimSuffix(line, []byte("\r")))
		rest, h.line = rest[i+1:], h.line[:0]
	}
	return n, err
}

// hear takes a line of a head.
func (h *hops) hear(line []byte) {
	switch name, value, _ := bytes.Cut(line, []byte(":")); {
	case !h.begun:
		_, status, _ := bytes.Cut(line, []byte(" "))
		h.begun, h.folds = true, false
		h.upgrade = bytes.HasPrefix(status, []byte("101"))
		h.interim = bytes.HasPrefix(status, []byte("1")) && !h.upgrade
	case len(line) == 0:
		h.inHead, h.begun = h.interim, false
	case line[0] == ' ' || line[0] == '\t':
		if h.folds {
			h.said = append(h.said, textproto.TrimString(string(line)))
		}
	default:
		if h.folds = !h.interim && strings.EqualFold(string(name), "Connection"); h.folds {
			h.said = append(h.said, textproto.TrimString(string(value)))
		}
	}
}

// restore puts back what net/http dropped of a response. Who passes that on removes
// what it names; a cache before it still sees that.
func (h *hops) restore(resp *http.Response) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.said) > 0 {
		resp.Header["Connection"] = h.said
	}
}

// CloseWrite tells the server that no more will be said.
func (h *hops) CloseWrite() error {
	if w, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// hopsKey is under what the context of a dial carries where its hops goes: the
// transport gives only the finished ClientConn back.
type hopsKey struct{}

// listening has a dial tell of the hops that it makes. It stays nil for HTTP/2.
func listening(ctx context.Context, to **hops) context.Context {
	return context.WithValue(ctx, hopsKey{}, to)
}

func listen(ctx context.Context, c net.Conn) net.Conn {
	h := &hops{Conn: c, silent: make(chan struct{})}
	if to, ok := ctx.Value(hopsKey{}).(**hops); ok {
		*to = h
	}
	return h
}

// listens has t read along where its connections turn out to speak HTTP/1.1.
func listens(t *http.Transport) {
	dial := t.DialContext
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conf := t.TLSClientConfig.Clone()
		if conf.NextProtos = []string{"http/1.1"}; t.Protocols.HTTP2() {
			conf.NextProtos = []string{"h2", "http/1.1"}
		}
		c := tls.Client(raw, conf)
		if err := c.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		if c.ConnectionState().NegotiatedProtocol == "h2" {
			return c, nil
		}
		return listen(ctx, c), nil
	}
	if t.Protocols.HTTP1() {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return listen(ctx, c), nil
		}
	}
}
