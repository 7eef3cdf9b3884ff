package origin

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
)

// A Way is where requests go: the regions, which Origin knows, or one origin
// that somebody else runs. Its answers to who and how are those of Origin's
// methods of these names.
type Way interface {
	Choose(tried []meridian.Region) Choice
	RoundTrip(*http.Request, Trip) (*http.Response, error)
}

// A CustomConfig is what an operator may say of an origin that somebody else
// runs: a plain HTTP server, of which nothing is believed.
type CustomConfig struct {
	Name            string         // no region has it
	URL             *url.URL       // http or https, the host, and a prefix of all paths
	H2C             bool           // HTTP/2 over plain TCP, with prior knowledge (RFC 9113, section 3.3)
	HostHeader      string         // the Host that it is asked for; "" means the URL's
	Headers         http.Header    // set on every request, over what the viewer sent
	ConnectTimeout  time.Duration  // of a dial, TLS included; 0 means 3 s
	ResponseTimeout time.Duration  // until the response's headers and opening; 0 means 30 s
	Connections     int            // kept and in use at most; 0 means 512
	Roots           *x509.CertPool // whom its certificate must come from; nil means the system's
}

// maxCustomHeader bounds the headers of a response, in bytes.
const maxCustomHeader = 256 << 10

// A Custom is the way to one origin that somebody else runs. It starts nothing
// by itself: connections are made when a request needs one, and kept for the
// next. Its methods may be called by many goroutines at once.
type Custom struct {
	cfg  CustomConfig
	said CustomConfig // cfg without defaults
	lane
	calm lane // for calls that are patient: it sends no pings

	dialPlain func(context.Context) (*http.ClientConn, error) // speaks HTTP/1.1
}

// A lane is the connections for one kind of request.
type lane struct {
	dial func(context.Context) (*http.ClientConn, error)
	pool pool
}

// NewCustom returns the way to an origin. dial makes its TCP connections; nil
// means net.Dialer.
func NewCustom(cfg CustomConfig, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Custom {
	said := cfg
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 3*time.Second)
	cfg.ResponseTimeout = cmp.Or(cfg.ResponseTimeout, 30*time.Second)
	if dial == nil {
		dial = (&net.Dialer{KeepAliveConfig: keepAlive, Control: giveUp}).DialContext
	}
	address := net.JoinHostPort(cfg.URL.Hostname(), cmp.Or(cfg.URL.Port(), map[string]string{"http": "80", "https": "443"}[cfg.URL.Scheme]))
	dialer := func(t *http.Transport) func(context.Context) (*http.ClientConn, error) {
		listens(t)
		return func(ctx context.Context) (*http.ClientConn, error) {
			ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
			defer cancel()
			return t.NewClientConn(ctx, cfg.URL.Scheme, address)
		}
	}
	plain, calm := customTransport(cfg, dial), customTransport(cfg, dial)
	plain.Protocols = new(http.Protocols)
	plain.Protocols.SetHTTP1(true)
	// gRPC servers take pings every few seconds for an attack, and end the
	// connection with all of its calls.
	calm.HTTP2.SendPingTimeout = 0
	limit := cmp.Or(cfg.Connections, 512)
	return &Custom{
		cfg: cfg, said: said, dialPlain: dialer(plain),
		lane: lane{dialer(customTransport(cfg, dial)), pool{limit: limit}}, calm: lane{dialer(calm), pool{limit: limit}},
	}
}

// customTransport returns what makes connections. As in transport, it is never
// asked to send a request: it would repeat some by itself.
func customTransport(cfg CustomConfig, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!cfg.H2C)
	protocols.SetHTTP2(!cfg.H2C)
	protocols.SetUnencryptedHTTP2(cfg.H2C)
	return &http.Transport{
		DialContext:            dial,
		Protocols:              protocols,
		DisableCompression:     true,
		TLSHandshakeTimeout:    cfg.ConnectTimeout,
		MaxResponseHeaderBytes: maxCustomHeader,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots, ServerName: cfg.URL.Hostname(),
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
		},
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second,
			MaxReceiveBufferPerStream: 4 << 20, MaxReceiveBufferPerConnection: 16 << 20,
		},
	}
}

// Config returns what the operator said of the origin.
func (c *Custom) Config() CustomConfig { return c.said }

// Name returns what the file calls the origin.
func (c *Custom) Name() string { return c.cfg.Name }

// Choose implements Way: there is nothing to choose from.
func (c *Custom) Choose(tried []meridian.Region) Choice {
	why := "the behaviour names it"
	if len(tried) > 0 {
		why = fmt.Sprintf("the behaviour names it, and no other; try %d", len(tried)+1)
	}
	return Choice{meridian.Region(c.cfg.Name), Named, why}
}

// Address makes req, whose path and query are raw, one to this origin: its
// URL, its Host and its own headers. viewerHost is the Host that the viewer
// asked for, if the origin is to see it, or "".
func (c *Custom) Address(req *http.Request, path, query string, hasQuery bool, viewerHost string) {
	u := c.cfg.URL
	if prefix := strings.Trim(u.EscapedPath(), "/"); prefix != "" && path != "*" {
		path = "/" + prefix + path
	}
	req.URL = rawURL(u.Scheme, u.Host, path, query, hasQuery)
	req.Host = cmp.Or(viewerHost, c.cfg.HostHeader, u.Host)
	for name, values := range c.cfg.Headers {
		req.Header[name] = values
	}
}

// rawURL returns a URL that net/http writes as the very bytes of path and
// query. It sends Opaque as it is, but for one that begins with //, which it
// takes for an authority: there it sends Path as RawPath has it, if it thinks
// that is well escaped, and else the absolute form, which says the same.
func rawURL(scheme, host, path, query string, hasQuery bool) *url.URL {
	u := &url.URL{Scheme: scheme, Host: host, Opaque: path, RawQuery: query, ForceQuery: hasQuery}
	if !strings.HasPrefix(path, "//") {
		return u
	}
	if plain, err := url.PathUnescape(path); err == nil {
		escaped := &url.URL{Scheme: scheme, Host: host, Path: plain, RawPath: path, RawQuery: query, ForceQuery: hasQuery}
		if escaped.EscapedPath() == path {
			return escaped
		}
	}
	u.Opaque = "//" + host + path
	return u
}

// RoundTrip sends req, once, and returns the response's headers with its body
// as a stream, which the caller must close. Its error is an *Error. It looks at
// nothing of the trip but FirstByte, Patient, Interim and Opening.
func (c *Custom) RoundTrip(req *http.Request, t Trip) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	l, wait := &c.lane, c.cfg.ResponseTimeout
	switch {
	case t.Patient:
		l, wait = &c.calm, t.FirstByte
	case t.FirstByte > 0:
		wait = min(wait, t.FirstByte)
	}
	slow := time.AfterFunc(wait, func() { cancel(errSlowOrigin) })
	conn, resp, err := c.send(ctx, cancel, l, req, t)
	if !slow.Stop() && err == nil && ctx.Err() != nil {
		resp.Body.Close()
		l.pool.release(conn, true, time.Now())
		err = classify(ctx, meridian.Region(c.cfg.Name), ctx.Err(), MaybeSent)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &customBody{body: body{resp.Body, cancel}, done: sync.OnceFunc(func() { l.pool.release(conn, true, time.Now()) }), conn: conn}
	return resp, nil
}

// errUpgraded is an answer to a question that nobody asked.
var errUpgraded = errors.New("the origin switched protocols, which it was not asked to")

// send takes a connection and makes the round trip on it.
func (c *Custom) send(ctx context.Context, cancel context.CancelCauseFunc, l *lane, req *http.Request, t Trip) (*conn, *http.Response, error) {
	name := meridian.Region(c.cfg.Name)
	conn, used, err := l.pool.take(ctx, Safe(req.Method), l.dial)
	if err != nil {
		return nil, nil, classify(ctx, name, err, Unsent)
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }, Got1xxResponse: t.Interim}
	req = req.WithContext(httptrace.WithClientTrace(ctx, trace))
	if _, ok := req.Header["Te"]; ok && !conn.multiplexed() {
		// RFC 9110, section 10.1.4: TE would have to stand in Connection, too.
		req.Header = req.Header.Clone()
		delete(req.Header, "Te")
	}
	if conn.hops != nil {
		conn.hops.begin()
	}
	resp, err := conn.RoundTrip(req)
	if err == nil {
		conn.hops.restore(resp)
	}
	if err == nil && (resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode < 100) {
		resp.Body.Close()
		if err = errUpgraded; resp.StatusCode < 100 {
			err = fmt.Errorf("the origin answered with the status %03d; expected 100 to 999", resp.StatusCode)
		}
	}
	if err == nil {
		if err = t.open(resp); err != nil {
			e := classify(ctx, name, err, MaybeSent)
			(&body{resp.Body, cancel}).Close()
			conn.brokeOff()
			l.pool.release(conn, true, time.Now())
			return nil, nil, e
		}
	}
	if err != nil {
		suspect := used && ctx.Err() == nil && conn.Err() != nil
		l.pool.release(conn, !suspect, time.Now())
		return nil, nil, classify(ctx, name, err, sentPlain(err, wrote.Load(), ctx.Err() != nil))
	}
	return conn, resp, nil
}

// sentPlain is sentBy for a connection that may speak HTTP/1.1, where net/http
// marks the error of a request of which it wrote no byte by its type alone;
// TestAnIdleConnectionThatEndedIsUnsent fails if that ever changes.
func sentPlain(err error, wrote, canceled bool) Sent {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if fmt.Sprintf("%T", e) == "http.nothingWrittenError" {
			return Unsent
		}
	}
	return sentBy(err, wrote, canceled)
}

// Down reports whether a request would be refused at once.
func (c *Custom) Down() bool { return c.pool.down(time.Now()) }

// Close ends the connections that no request uses, and those of requests as
// they end.
func (c *Custom) Close() {
	c.pool.close()
	c.calm.pool.close()
}

// A customBody gives its connection back when it is closed.
type customBody struct {
	body
	conn *conn
	done func()
}

func (b *customBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		b.conn.brokeOff()
	}
	return n, err
}

// brokeOff ends a connection whose response broke off, if it has no other: net/http
// does a moment later, and a write that took it until then would be in doubt.
func (c *conn) brokeOff() {
	if !c.multiplexed() {
		c.Close()
	}
}

func (b *customBody) Close() error {
	err := b.body.Close()
	b.done()
	return err
}
