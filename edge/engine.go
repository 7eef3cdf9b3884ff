package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
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
}

// Serve implements Engine.
func (e *netHTTP) Serve(ctx context.Context, l net.Listener, conf *tls.Config, h http.Handler) error {
	srv := e.server(conf, h)
	done := make(chan error, 1)
	go func() {
		if conf == nil {
			done <- srv.Serve(l)
			return
		}
		done <- srv.ServeTLS(l, "", "")
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.timeouts.Drain)
	defer cancel()
	if err := srv.Shutdown(wait); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (e *netHTTP) server(conf *tls.Config, h http.Handler) *http.Server {
	return &http.Server{
		Handler:     h,
		ConnContext: withHello,
		TLSConfig:   conf,
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
			SendPingTimeout:               15 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              30 * time.Second,
		},
	}
}
