package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"meridian"
	"meridian/edge/cache"
	"meridian/edge/origin"
	"meridian/edge/tunnel"
	_ "meridian/internal/xconnect" // extended CONNECT, RFC 8441
)

// A shake is a viewer's handshake for a tunnel.
type shake struct {
	tunnel.Handshake
	refusal *tunnel.Refusal
	stream  io.ReadCloser // what comes of the viewer, over extended CONNECT
}

// shaken returns a request as the rest of the edge is to see it: one that asks
// for a tunnel is a GET without a body, whatever it came as.
func shaken(r *http.Request) (*http.Request, *shake) {
	if _, ok := tunnel.Asks(r); !ok {
		return r, nil
	}
	s := &shake{}
	s.Handshake, s.refusal = tunnel.Read(r)
	if r.Method != http.MethodConnect {
		return r, s
	}
	out := r.Clone(r.Context())
	out.Method, out.Body, out.ContentLength = http.MethodGet, http.NoBody, 0
	if r.ProtoMajor == 3 {
		out.Proto = "HTTP/3.0" // quic-go puts websocket there
	}
	delete(out.Header, ":protocol")
	s.stream = r.Body
	return out, s
}

// refuseHandshake answers a handshake that is none.
func (x *exchange) refuseHandshake() bool {
	if x.shake == nil || x.shake.refusal == nil {
		return false
	}
	if x.shake.refusal.Status == http.StatusUpgradeRequired { // RFC 6455, section 4.2.2
		x.w.Header().Set("Sec-WebSocket-Version", "13")
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Upgrade", "websocket")
			x.w.Header().Set("Connection", "Upgrade")
		}
	}
	x.answer(answer{status: x.shake.refusal.Status, message: x.shake.refusal.Why})
	return true
}

// tunnel opens a connection to the origin for the viewer's, and carries bytes
// between the two until one ends.
func (x *exchange) tunnel() {
	if x.custom == nil {
		x.answer(refuseTunnel)
		return
	}
	if !x.tunnels.enter() {
		x.answer(refuseMore)
		return
	}
	defer x.tunnels.leave()
	x.metrics.tunnels.Inc()
	defer x.metrics.tunnels.Dec()
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	defer context.AfterFunc(x.tunnels.ctx, cancel)()
	resp, far, err := x.shakeHands(ctx)
	switch {
	case err != nil:
		x.fail(err)
		return
	case far == nil && x.w.shut && resp.StatusCode/100 == 2:
		resp.Body.Close()
		x.err = fmt.Errorf("the origin answered a handshake with %s; expected 101", resp.Status)
		x.answer(refuseUnopened)
		return
	case far == nil:
		x.pass(declined(resp))
		return
	}
	near, err := x.open(resp.Header)
	if err != nil {
		far.Close()
		x.err = err
		return
	}
	ended := tunnel.Run(x.tunnels.ctx, x.cfg.Tunnels, near, far)
	x.ended, x.w.bytes = &ended, ended.Out
	if ended.Broke && x.shake.Extended {
		panic(http.ErrAbortHandler) // a reset is one of the stream (RFC 8441, section 5)
	}
}

// shakeHands asks the origin for a connection. far is nil if it declines.
func (x *exchange) shakeHands(ctx context.Context) (resp *http.Response, far io.ReadWriteCloser, err error) {
	x.choice, x.tries = x.way.Choose(nil), 1
	left := x.start.Add(x.cfg.Timeouts.FirstByte).Sub(x.deps.Now())
	req, key := x.outgoing(left), tunnel.NewKey()
	h := req.Header
	for _, name := range []string{"Sec-Websocket-Protocol", "Sec-Websocket-Extensions", "Sec-Websocket-Version"} {
		if values := x.r.Header[name]; len(values) > 0 {
			h[name] = values
		}
	}
	h["Sec-Websocket-Key"], h["Connection"], h["Upgrade"] = []string{key}, []string{"Upgrade"}, []string{"websocket"}
	delete(h, "Te")
	resp, err = x.custom.Tunnel(req.WithContext(ctx), left)
	if err != nil {
		return nil, nil, err
	}
	x.began = x.deps.Now()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		far = resp.Body.(io.ReadWriteCloser) // Tunnel says so
		resp.Body = http.NoBody
		if err := tunnel.Verify(resp.Header, key); err != nil {
			far.Close()
			return nil, nil, &origin.Error{Region: x.choice.Region, Sent: origin.MaybeSent, Kind: meridian.Malformed, Err: err}
		}
	}
	distrust(resp)
	return resp, far, nil
}

// declined is an answer of an origin that opens no tunnel.
func declined(resp *http.Response) *cache.Response {
	return &cache.Response{
		Status: resp.StatusCode, Proto: [2]int{resp.ProtoMajor, resp.ProtoMinor}, Header: resp.Header, ContentLength: resp.ContentLength,
		Body: resp.Body, Trailer: func() http.Header { return resp.Trailer }, Announced: resp.Trailer, Outcome: cache.Bypass, Why: "it declines a tunnel",
	}
}

// open tells the viewer that its tunnel is open, and returns it.
func (x *exchange) open(from http.Header) (io.ReadWriteCloser, error) {
	h := x.w.Header()
	for name, values := range from {
		h[name] = values
	}
	stripHops(h)
	delete(h, "Sec-Websocket-Accept")
	x.w.ready()
	if x.shake.Extended {
		x.w.shut = false
		x.w.WriteHeader(http.StatusOK)
		control := http.NewResponseController(x.w)
		return &stream{x.shake.stream, x.w, control}, control.Flush()
	}
	h["Upgrade"], h["Connection"], h["Sec-Websocket-Accept"] = []string{"websocket"}, []string{"Upgrade"}, []string{tunnel.Accept(x.shake.Key)}
	if h.Get("Date") == "" {
		h.Set("Date", x.deps.Now().UTC().Format(http.TimeFormat))
	}
	return x.hijack(h)
}

// hijack takes the connection from the engine and switches its protocol.
func (x *exchange) hijack(h http.Header) (io.ReadWriteCloser, error) {
	conn, buf, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take the viewer's connection: %w", err)
	}
	x.w.status = http.StatusSwitchingProtocols
	out := bufio.NewWriter(conn)
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", x.w.status, http.StatusText(x.w.status))
	h.Write(out)
	out.WriteString("\r\n")
	if err := errors.Join(conn.SetDeadline(time.Time{}), out.Flush()); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", errClient, err)
	}
	return &hijacked{conn, buf.Reader}, nil
}

// A hijacked connection has bytes that the engine had read already.
type hijacked struct {
	net.Conn
	from *bufio.Reader
}

func (h *hijacked) Read(b []byte) (int, error) { return h.from.Read(b) }

// A stream is a viewer's, of HTTP/2 or 3.
type stream struct {
	io.ReadCloser
	w       io.Writer
	control *http.ResponseController
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}

// stuck is how long a write goes on that began before its stream was closed.
const stuck = time.Second

// Close ends reading. Its end of the stream ends with the handler, or after a
// while by force, if the viewer does not take what is written.
func (s *stream) Close() error {
	s.control.SetWriteDeadline(time.Now().Add(stuck))
	return s.ReadCloser.Close()
}

// tunneled describes a tunnel that ended to the log.
func tunneled(t *tunnel.Ended) []slog.Attr {
	if t == nil {
		return nil
	}
	return []slog.Attr{slog.Int64("bytes_in", t.In), slog.String("ended", t.Why)}
}

// tunnels are those that are open. The engine forgets the connections that were
// taken from it.
type tunnels struct {
	ctx  context.Context // ends when the edge stops
	stop context.CancelFunc
	max  int

	mu   sync.Mutex // guards what follows
	open int
	none *sync.Cond // none is open
}

func newTunnels(cfg tunnel.Config) *tunnels {
	t := &tunnels{max: cfg.Defaults().Max}
	t.none = sync.NewCond(&t.mu)
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// enter reports whether there is room for one more.
func (t *tunnels) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= t.max || t.ctx.Err() != nil {
		return false
	}
	t.open++
	return true
}

func (t *tunnels) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open--; t.open == 0 {
		t.none.Broadcast()
	}
}

// endTunnels ends those that are open: at once, or when the drain is over if
// another process has this one's place.
func (e *Edge) endTunnels() {
	limit, handedOver := e.drain.limit()
	if !handedOver {
		e.tunnels.stop()
		return
	}
	time.AfterFunc(limit, e.tunnels.stop)
}

// wait returns once none is open. endTunnels bounds that.
func (t *tunnels) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.open > 0 {
		t.none.Wait()
	}
	t.stop()
}
