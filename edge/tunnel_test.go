package edge

//lint:file-ignore SA1019 the transport of net/http refuses CONNECT with :protocol

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"

	"meridian/edge/tunnel"
)

// socketEcho is an origin that sends every message back, and its path first.
func socketEcho(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ws/declined" {
		http.Error(w, "not today", http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	c.Write(r.Context(), websocket.MessageText, []byte(r.URL.Path+" "+r.Header.Get("X-Forwarded-For")))
	for {
		kind, text, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if string(text) == "bye" {
			c.Close(4001, "as you wish")
			return
		}
		if c.Write(context.Background(), kind, text) != nil {
			return
		}
	}
}

// extended is a client that opens WebSockets by extended CONNECT (RFC 8441),
// for a library that knows only the Upgrade of HTTP/1.1.
type extended struct{ tr *http2.Transport }

func (e *extended) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Header.Get("Sec-Websocket-Key")
	pr, pw := io.Pipe()
	out := r.Clone(r.Context())
	out.Method, out.Body = http.MethodConnect, pr
	out.Header[":protocol"] = []string{"websocket"}
	for _, name := range []string{"Upgrade", "Connection", "Sec-Websocket-Key"} {
		out.Header.Del(name)
	}
	resp, err := e.tr.RoundTrip(out)
	if err != nil || resp.StatusCode != 200 {
		pw.Close()
		return resp, err
	}
	if resp.Header.Get("Sec-Websocket-Accept") != "" || resp.Header.Get("Upgrade") != "" {
		return nil, errors.New("headers of HTTP/1.1's handshake in HTTP/2")
	}
	resp.StatusCode = http.StatusSwitchingProtocols
	resp.Header.Set("Upgrade", "websocket")
	resp.Header.Set("Connection", "Upgrade")
	resp.Header.Set("Sec-Websocket-Accept", tunnel.Accept(key))
	resp.Body = &twoWay{resp.Body, pw}
	return resp, nil
}

type twoWay struct {
	io.ReadCloser
	w *io.PipeWriter
}

func (t *twoWay) Write(b []byte) (int, error) { return t.w.Write(b) }
func (t *twoWay) Close() error                { return errors.Join(t.w.Close(), t.ReadCloser.Close()) }

// viewers are the clients of a world, by protocol.
func (w *world) viewers() map[string]*http.Client {
	return map[string]*http.Client{"h1": w.h1, "h2": {Transport: &extended{w.connecting()}}}
}

// connecting returns a transport that sends CONNECT with :protocol, which that of
// net/http refuses.
func (w *world) connecting() *http2.Transport {
	https, _ := w.Addrs()
	tr := &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}, DialTLSContext: func(ctx context.Context, _, _ string, cfg *tls.Config) (net.Conn, error) {
		return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", https.String())
	}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// socket opens a WebSocket at a path.
func (w *world) socket(c *http.Client, path string) *websocket.Conn {
	w.t.Helper()
	ws, _, err := websocket.Dial(w.t.Context(), w.url+path, &websocket.DialOptions{HTTPClient: c, Subprotocols: []string{"chat"}, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log)
	}
	ws.SetReadLimit(-1)
	w.t.Cleanup(func() { ws.CloseNow() })
	return ws
}

func hear(t *testing.T, ws *websocket.Conn, want string) {
	t.Helper()
	if _, text, err := ws.Read(t.Context()); err != nil || string(text) != want {
		t.Fatalf("heard %.60q, %v; want %.60q", text, err, want)
	}
}

func TestWebSocketsPassBothWays(t *testing.T) {
	for _, tls := range []bool{false, true} {
		_, o := stranger(t, tls, socketEcho)
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "/ws/*", Origin: "assets"}))
		for name, c := range w.viewers() {
			ws := w.socket(c, "/ws/"+name)
			if p := ws.Subprotocol(); p != "chat" {
				t.Errorf("%s: subprotocol %q", name, p)
			}
			hear(t, ws, "/ws/"+name+" 127.0.0.1")
			for _, n := range []int{0, 1, 125, 126, 70_000, 3 << 20} {
				text := bytes.Repeat([]byte("é"), n/2)
				if err := ws.Write(t.Context(), websocket.MessageText, text); err != nil {
					t.Fatal(err)
				}
				hear(t, ws, string(text))
			}
			ctx := ws.CloseRead(t.Context()) // reads on
			if err := ws.Ping(ctx); err != nil {
				t.Errorf("%s: ping: %v", name, err)
			}
			ws.Close(websocket.StatusNormalClosure, "")
			w.until("logged", func() bool {
				return strings.Contains(w.log.String(), "path=/ws/"+name+" status=") && strings.Contains(w.log.String(), `bytes_in=`)
			})
			ws = w.socket(c, "/ws/again")
			hear(t, ws, "/ws/again 127.0.0.1")
			ws.Write(t.Context(), websocket.MessageText, []byte("bye"))
			if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 4001 {
				t.Errorf("%s: the origin's close code: %v", name, err)
			}
		}
		w.until("all ended", func() bool { w.tunnels.mu.Lock(); defer w.tunnels.mu.Unlock(); return w.tunnels.open == 0 })
		for _, want := range []string{"status=101", "status=200", `ended="the origin closed it"`, `ended="the viewer closed it"`} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("the log lacks %s: %s", want, w.log)
			}
		}
	}
}

func TestWhoGetsNoTunnel(t *testing.T) {
	_, o := stranger(t, false, socketEcho)
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "/ws/*", Origin: "assets"}, Behavior{Path: "/post", Origin: "assets", Methods: []string{"POST"}}), func(c *Config, _ *Deps, _ *world) {
		c.Tunnels.Max = 2
	})
	const shake = "GET /ws/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for name, tt := range map[string]struct{ text, want string }{
		"a region":       {strings.Replace(shake, "/ws/x", "/x", 1), "HTTP/1.1 501 "},
		"the method":     {strings.Replace(shake, "/ws/x", "/post", 1), "HTTP/1.1 405 "},
		"the version":    {strings.Replace(shake, "13", "8", 1), "HTTP/1.1 426 "},
		"the key":        {strings.Replace(shake, "dGhl", "dGhlIHNh", 1), "HTTP/1.1 400 "},
		"a body":         {strings.Replace(shake, "\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nab", 1), "HTTP/1.1 400 "},
		"it is declined": {strings.Replace(shake, "/ws/x", "/ws/declined", 1), "HTTP/1.1 403 "},
	} {
		if out := w.raw(tt.text); !strings.HasPrefix(out, tt.want) || name == "the version" && !strings.Contains(out, "\r\nSec-Websocket-Version: 13\r\n") || name == "it is declined" && !strings.Contains(out, "not today") {
			t.Errorf("%s: %.400s", name, out)
		}
	}
	for name, tt := range map[string]struct {
		path, protocol string
		want           int
	}{
		"a region": {"/x", "websocket", 501}, "another protocol": {"/ws/x", "connect-udp", 501}, "it is declined": {"/ws/declined", "websocket", 403}, "the method": {"/post", "websocket", 405},
	} {
		req, _ := http.NewRequest("CONNECT", w.url+tt.path, http.NoBody)
		req.Header = http.Header{":protocol": {tt.protocol}, "Sec-Websocket-Version": {"13"}}
		resp, err := w.connecting().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("h2, %s: %s, want %d", name, resp.Status, tt.want)
		}
	}
	// No more at once than the edge takes, and room again when one ends.
	one, two := w.socket(w.h1, "/ws/1"), w.socket(w.viewers()["h2"], "/ws/2")
	hear(t, two, "/ws/2 127.0.0.1")
	if out := w.raw(shake); !strings.HasPrefix(out, "HTTP/1.1 503 ") || !strings.Contains(out, "Retry-After: 5") {
		t.Errorf("a third: %.300s", out)
	}
	one.CloseNow()
	w.until("one ended", func() bool { w.tunnels.mu.Lock(); defer w.tunnels.mu.Unlock(); return w.tunnels.open == 1 })
	w.socket(w.h1, "/ws/3")
}

// To who asks by extended CONNECT a 2xx says that its tunnel is open, so what an
// origin, a page or a function answers with one in place of a tunnel must not.
func TestWhatOpensNoTunnelIsNo2xx(t *testing.T) {
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/declined" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.WriteString(w, "a page")
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o,
		Behavior{Path: "/paged", Errors: map[int]ErrorPage{501: {Path: "/page", Status: 200}}},
		Behavior{Path: "/declined", Origin: "assets", Errors: map[int]ErrorPage{403: {Path: "/page", Status: 200}}},
		Behavior{Path: "*", Origin: "assets"}))
	for path, want := range map[string]string{"/page": `"message":"The origin answered the handshake`, "/paged": "a page", "/declined": "a page"} {
		req, _ := http.NewRequest("CONNECT", w.url+path, http.NoBody)
		req.Header = http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}}
		resp, err := w.connecting().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 502 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %.200s", path, resp.Status, body)
		}
		out := w.raw("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.HasSuffix(out, "a page") {
			t.Errorf("%s over HTTP/1.1: %.300s", path, out)
		}
	}
}

// An origin's 101 that does not answer the key may be a cache's, or another
// protocol's: its bytes are not taken for frames.
func TestA101OfAnotherKeyIsRefused(t *testing.T) {
	_, o := stranger(t, false, func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := http.NewResponseController(w).Hijack()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, c := range w.viewers() {
		if _, resp, err := websocket.Dial(t.Context(), w.url, &websocket.DialOptions{HTTPClient: c}); err == nil || resp == nil || resp.StatusCode != 502 {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
}

func TestAStopEndsTunnelsWithGoingAway(t *testing.T) {
	_, o := stranger(t, false, socketEcho)
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	errs := make(chan error, 2)
	for _, c := range w.viewers() {
		ws := w.socket(c, "/")
		hear(t, ws, "/ 127.0.0.1")
		go func() { _, _, err := ws.Read(context.Background()); errs <- err }()
	}
	w.stop()
	for range 2 {
		if err := <-errs; websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("ended with %v", err)
		}
	}
	w.until("both ends are logged", func() bool { return strings.Count(w.log.String(), `ended="the edge goes away"`) == 2 })
}

func TestTheOriginHearsTheViewerAndItsPolicy(t *testing.T) {
	saw := make(chan *http.Request, 1)
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) { saw <- r; socketEcho(w, r) })
	o.Headers = http.Header{"X-Origin-Verify": {"secret"}}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets", Request: RequestPolicy{Name: "few", Headers: allow("Authorization")}}))
	for name, c := range w.viewers() {
		ws, _, err := websocket.Dial(t.Context(), w.url+"/a?b=c", &websocket.DialOptions{HTTPClient: c, HTTPHeader: http.Header{
			"Authorization": {"Bearer t"}, "Cookie": {"a=b"}, "Meridian-Identity": {"forged"}, "X-Origin-Verify": {"guess"}, "X-Drop": {"x"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		r := <-saw
		for header, want := range map[string]string{
			"Authorization": "Bearer t", "Cookie": "", "Meridian-Identity": "", "X-Origin-Verify": "secret", "X-Drop": "", "Sec-Websocket-Version": "13", "Upgrade": "websocket", ":protocol": "",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
		if r.Method != "GET" || r.RequestURI != "/a" || r.ProtoMajor != 1 {
			t.Errorf("%s: %s %s %s", name, r.Method, r.RequestURI, r.Proto)
		}
	}
}

// What is no tunnel must stay what it was: a CONNECT, or an Upgrade to
// something else.
func TestOnlyWebSocketsAreTunnels(t *testing.T) {
	g, saw := capturing()
	w := newWorld(t, []*region{g})
	if out := w.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.1 200 ") {
		t.Errorf("%.200s", out)
	}
	if r := <-saw; r.Header.Get("Upgrade") != "" {
		t.Error("Upgrade was sent on")
	}
	req, _ := http.NewRequest("CONNECT", "https://"+domain+":443", http.NoBody)
	resp, err := w.h2.Transport.RoundTrip(req)
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("%v %v", resp, err)
	}
}
