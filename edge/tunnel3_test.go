package edge

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go/http3"

	"meridian/edge/tunnel"
)

// extended3 is extended for HTTP/3 (RFC 9220).
type extended3 struct{ tr *http3.Transport }

func (e *extended3) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Header.Get("Sec-Websocket-Key")
	pr, pw := io.Pipe()
	out := r.Clone(r.Context())
	out.Method, out.Body, out.Proto = http.MethodConnect, pr, "websocket"
	for _, name := range []string{"Upgrade", "Connection", "Sec-Websocket-Key"} {
		out.Header.Del(name)
	}
	resp, err := e.tr.RoundTrip(out)
	if err != nil || resp.StatusCode != 200 {
		pw.Close()
		return resp, err
	}
	if resp.Header.Get("Sec-Websocket-Accept") != "" || resp.Header.Get("Upgrade") != "" {
		return nil, errors.New("headers of HTTP/1.1's handshake in HTTP/3")
	}
	resp.StatusCode = http.StatusSwitchingProtocols
	resp.Header.Set("Upgrade", "websocket")
	resp.Header.Set("Connection", "Upgrade")
	resp.Header.Set("Sec-Websocket-Accept", tunnel.Accept(key))
	resp.Body = &twoWay{resp.Body, pw}
	return resp, nil
}

func TestWebSocketsPassOverHTTP3(t *testing.T) {
	_, o := stranger(t, false, socketEcho)
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "/ws/*", Origin: "assets"}))
	c := &http.Client{Transport: &extended3{w.h3().Transport.(*http3.Transport)}}
	ws := w.socket(c, "/ws/h3")
	hear(t, ws, "/ws/h3 127.0.0.1")
	for _, n := range []int{1, 70_000, 3 << 20} {
		text := strings.Repeat("x", n)
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		hear(t, ws, text)
	}
	ws.Write(t.Context(), websocket.MessageText, []byte("bye"))
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 4001 {
		t.Errorf("the origin's close code: %v", err)
	}
	w.until("logged", func() bool {
		return strings.Contains(w.log.String(), "protocol=HTTP/3.0 method=GET") && strings.Contains(w.log.String(), `ended="the origin closed it"`)
	})
	ws = w.socket(c, "/ws/stop")
	hear(t, ws, "/ws/stop 127.0.0.1")
	ended := make(chan error, 1)
	go func() { _, _, err := ws.Read(t.Context()); ended <- err }()
	w.stop()
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("ended with %v", err)
	}
}
