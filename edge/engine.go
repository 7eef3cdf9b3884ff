package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"meridian/edge/pace"
	"meridian/internal/framing"
)

// An Engine turns the bytes of connections into requests and responses into
// bytes. All else of the edge is an http.Handler, so that an engine can be
// replaced, and measured against another.
type Engine interface {
	// Serve answers what arrives at l with h, over TLS if conf is not nil,
	// until ctx is canceled. Then it accepts nothing more, lets the requests in
	// flight end until the drain time is over, and closes l.
	Serve(ctx context.Context, l net.Listener, conf *tls.Config, h http.Handler) error
}

// netHTTP is the engine that the standard library has: HTTP/1.1, and HTTP/2
// over TLS.
type netHTTP struct {
	limits   Limits
	timeouts Timeouts
	log      *slog.Logger
	now      func() time.Time
	crowd    *crowd
	watch    *watch
	drain    *drain
	pace     *pace.Watch
}

// Serve implements Engine.
func (e *netHTTP) Serve(ctx context.Context, l net.Listener, conf *tls.Config, h http.Handler) error {
	in := e.lobby(l, conf)
	x := e.hall(in, e.drain.ending(h))
	done := make(chan error, 1)
	go func() { done <- x.run() }()
	select {
	case err := <-done: // it cannot accept any more
		done <- err
	case <-ctx.Done():
	}
	wait, cancel := e.drain.within(ctx)
	defer cancel()
	e.drain.begun.Store(true)
	x.leave(wait, e.drain.linger())
	return <-done
}

// lobby returns the listener that stands before l.
func (e *netHTTP) lobby(l net.Listener, conf *tls.Config) *lobby {
	in := &lobby{
		Listener: l, conf: conf, limit: e.timeouts.Handshake, framing: framing.Config{Header: e.limits.Header, Slow: e.timeouts.Header / 2, Now: e.now}, crowd: e.crowd, watch: e.watch, pace: e.pace,
		slim: newSlimmer(),
	}
	in.framing.Idle = e.timeouts.Idle
	in.parking = &parking{after: e.timeouts.Park, crowd: e.crowd, out: newEntrance(in), slim: in.slim}
	in.resting = &parking{after: e.timeouts.Park, crowd: e.crowd, out: newEntrance(in), slim: in.slim}
	return in.open()
}

// server returns a server for what comes out of a lobby.
func (e *netHTTP) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:     h,
		ConnContext: introduced,
		// The handler refuses headers over the limit, in JSON; what is much
		// larger the engine does not even hold.
		MaxHeaderBytes:    2 * e.limits.Header,
		ReadHeaderTimeout: e.timeouts.Header,
		IdleTimeout:       e.timeouts.Idle,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          e.limits.Streams,
			MaxReceiveBufferPerConnection: 4 << 20,
			MaxReceiveBufferPerStream:     1 << 20,
			MaxReadFrameSize:              framing.MaxFrame,
			SendPingTimeout:               15 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              30 * time.Second,
		},
	}
}
