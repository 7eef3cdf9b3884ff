package edge

//lint:file-ignore SA1019 the transport of net/http refuses CONNECT with :protocol

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"meridian/edge/tunnel"
)

// An origin's reset is not its end: a viewer of HTTP/2 or 3 hears a reset of the
// stream (RFC 8441, section 5), and of an origin that closed, or ended, an end.
func TestAnOriginsResetOfAWebSocketIsNoCleanEnd(t *testing.T) {
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		c, buf, _ := http.NewResponseController(w).Hijack()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+tunnel.Accept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
		if r.URL.Path == "/closed" {
			c.Write(tunnel.Close(1000, false))
		}
		buf.ReadByte() // the viewer is there
		if r.URL.Path != "/ended" {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, tr := range map[string]http.RoundTripper{"h2": w.connecting(), "h3": w.h3().Transport} {
		for path, reset := range map[string]bool{"/reset": true, "/ended": false, "/closed": false} {
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("CONNECT", w.url+path, pr)
			req.Header = http.Header{"Sec-Websocket-Version": {"13"}}
			if req.Proto = "websocket"; name == "h2" {
				req.Header[":protocol"] = []string{"websocket"}
			}
			resp, err := tr.RoundTrip(req)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s%s: %v, %v", name, path, resp, err)
			}
			go pw.Write([]byte("x"))
			if _, err = io.ReadAll(resp.Body); (err != nil) != reset {
				t.Errorf("%s%s ended with %v", name, path, err)
			}
			resp.Body.Close()
			pw.Close()
		}
	}
	w.until("logged", func() bool { return strings.Count(w.log.String(), `ended="the origin broke off`) >= 2 })
}
