package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"meridian/config"
	"meridian/gateway"
	"meridian/internal/framing"
	"meridian/internal/headroom"
	"meridian/internal/stricthttp"
)

// handshakeLimit is how long strangers may take for a handshake at a gateway.
const handshakeLimit = 10 * time.Second

// headLimit is how long they may take for a head.
const headLimit = 10 * time.Second

// publicGateway returns the server of a gateway's public port. Strangers speak
// there, so that it reads as edges do: what has two readings is refused, and floods
// end their connection (package stricthttp).
func publicGateway(desk *gateway.Gateway, f *config.File, conf *tls.Config, log *slog.Logger) *stricthttp.Server {
	return &stricthttp.Server{
		HTTP: func() *http.Server { return strangersServer(desk.Public(), f, log) },
		TLS:  conf, Handshake: handshakeLimit, Header: int(f.Limits.Header), Slow: headLimit / 2, Drain: drainOf(f), Tell: desk.Cut,
	}
}

// strangersServer returns the engine that parses what the guards let through.
func strangersServer(h http.Handler, f *config.File, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headLimit, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 2 * int(f.Limits.Header),
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250, MaxReceiveBufferPerConnection: 4 << 20, MaxReceiveBufferPerStream: 1 << 20, MaxReadFrameSize: framing.MaxFrame,
			SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second,
		},
	}
}

// nodesServer returns a server of requests that nodes pass on to each other over
// the backbone: HTTP/2 without TLS of its own. It is not strict: only nodes reach it,
// with certificates of the installation's authority, and an edge, or another
// gateway, has judged what they pass on. Its windows let one connection carry more
// than 4.8 MB/s over 219 ms.
func nodesServer(h http.Handler, f *config.File) *http.Server {
	srv := &http.Server{
		Handler: headroom.Handler(h), ReadHeaderTimeout: headLimit, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 2 * int(f.Limits.Header),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 1000, MaxReceiveBufferPerConnection: 16 << 20, MaxReceiveBufferPerStream: 8 << 20},
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}
