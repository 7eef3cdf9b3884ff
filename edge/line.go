package edge

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"meridian/edge/pace"
	"meridian/internal/framing"
)

// A line is a client's connection as its requests know it.
type line struct {
	*pace.Conn
	h2 atomic.Pointer[framing.H2] // nil if it is not HTTP/2 over TCP
}

type lineKey struct{}

// lineOf returns the connection that a request came over; nil if the engine
// tells of none.
func lineOf(ctx context.Context) *line {
	l, _ := ctx.Value(lineKey{}).(*line)
	return l
}

// The cuts of clients that keep an edge waiting.
const (
	CutBody   Cut = "body"   // a body that comes too slowly
	CutReader Cut = "reader" // a response that is taken too slowly
)

// long ago is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// A remote is a client's address as requests have it.
type remote string

// Network implements net.Addr.
func (remote) Network() string { return "tcp" }

func (r remote) String() string { return string(r) }

// queued returns how many bytes the system holds that a client has not yet
// taken: those that were not acknowledged.
func queued(c net.Conn) func() (int, bool) {
	return func() (n int, ok bool) {
		raw := rawOf(c)
		if raw == nil {
			return 0, false
		}
		if raw.Control(func(fd uintptr) { n, ok = outgoing(fd) }) != nil {
			return 0, false
		}
		return n, ok
	}
}

// watchResponse watches how a client takes its response, where that cannot be
// seen of its connection.
func (x *exchange) watchResponse() {
	if l := lineOf(x.r.Context()); l != nil && x.r.ProtoMajor > 1 {
		x.w.wait.Response(l.Conn, func() {
			x.watch.cut(remote(x.r.RemoteAddr), CutReader, "took too little of a response on one stream")
			http.NewResponseController(x.w.ResponseWriter).SetWriteDeadline(longAgo)
		})
	}
}

// leave lets the engine do what it does after the handler, but not for ever: it
// reads what is left of a body over HTTP/1.1, and writes what is left of a
// response over HTTP/2, where the client may give no room.
func (x *exchange) leave() {
	x.w.wait.Close()
	x.bodyWait.Close()
	grace := x.cfg.Limits.Pace.Grace
	switch control := http.NewResponseController(x.w.ResponseWriter); {
	case x.cfg.Limits.Pace.Rate <= 0:
	case x.r.ProtoMajor == 1 && x.r.Body != nil && x.r.Body != http.NoBody && !x.bodyWait.TooSlow() && (x.body == nil || !x.body.ended()):
		control.SetReadDeadline(time.Now().Add(grace)) // a tunnel's connection says that it has none
	case x.r.ProtoMajor == 2:
		if l := lineOf(x.r.Context()); l != nil && l.narrow(x.w.bytes) {
			control.SetWriteDeadline(time.Now().Add(grace))
		}
	}
}

// rest takes what is left of a body that was answered before it had come. It
// does so within the handler: net/http, which does it after the handler, then
// takes the body's end for the beginning of a second read, and breaks the
// connection under the next request (golang/go#68560). The response goes first:
// some clients wait for it.
func (x *exchange) rest() {
	if x.lingers() {
		x.linger()
		return
	}
	if !x.duplex || x.body.ended() {
		return
	}
	http.NewResponseController(x.w.ResponseWriter).Flush()
	x.r.Body.Close() // within the time that leave gave; what did not come ends the connection
}

// narrow reports whether a client may have left no room for the end of a
// response of so many bytes.
func (l *line) narrow(bytes int64) bool {
	h2 := l.h2.Load()
	return h2 != nil && h2.Narrow(bytes)
}
