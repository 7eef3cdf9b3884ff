package backbone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A listener hands out the connections and streams of one service.
type listener struct {
	service string
	conns   chan net.Conn
	once    sync.Once
	done    chan struct{}
}

func newListener(service string) *listener {
	return &listener{service: service, conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept returns the next connection or stream.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, fmt.Errorf("accept %s: %w", l.service, net.ErrClosed)
	}
}

// Close ends Accept. What was accepted lives on.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr names the service.
func (l *listener) Addr() net.Addr { return serviceAddr(l.service) }

// give hands c to Accept, or closes it if nobody will ever accept.
func (l *listener) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

type serviceAddr string

func (serviceAddr) Network() string  { return "backbone" }
func (a serviceAddr) String() string { return string(a) }

// accept serves the node's port until ctx is canceled.
func (b *Backbone) accept(ctx context.Context, ln net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	config := b.serverTLS()
	places := make(chan struct{}, maxHandshakes)
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with this function
		select {
		case <-b.yielded:
			ln.Close()
		case <-over:
		}
	}()
	for {
		c, err := ln.Accept()
		select {
		case <-b.yielded:
			if err == nil {
				c.Close() // it is too late to give it to the other process
			}
			<-ctx.Done()
			return nil
		default:
		}
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("backbone: accept: %w", err)
		case err != nil: // out of file descriptors, or a peer that left early
			b.log.Warn("accept", "err", err)
			pause(ctx, firstPause)
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		conns.Go(func() { b.admit(ctx, tls.Server(c, config), func() { <-places }) })
	}
}

// admit learns who calls and what for, and hands the connection on.
func (b *Backbone) admit(ctx context.Context, tc *tls.Conn, release func()) {
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := tc.HandshakeContext(hctx)
	cancel()
	release()
	if err != nil {
		tc.Close()
		if ctx.Err() == nil {
			b.metrics.refused.Inc()
			b.log.Warn("refused a connection", "from", tc.RemoteAddr().String(), "err", err)
		}
		return
	}
	state := tc.ConnectionState()
	node, _ := peerName(state) // the handshake has checked it
	service, mux := parseALPN(state.NegotiatedProtocol)
	b.metrics.accepted.WithLabelValues(service).Inc()
	if l := b.listeners[service]; mux {
		b.acceptStreams(ctx, tc, node, l)
	} else {
		l.give(&conn{Conn: tc, node: node})
	}
}

// acceptStreams hands on the streams of a link until it ends.
func (b *Backbone) acceptStreams(ctx context.Context, tc *tls.Conn, node string, l *listener) {
	session, err := b.newMux(tc, server, 2*idlePing) // the other end's pings keep it quiet
	if err != nil {
		b.log.Error("accept link", "peer", node, "service", l.service, "err", err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { session.Close() })()
	defer session.Close()
	go func() { // ends with ctx
		select {
		case <-b.yielded:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		s, err := session.AcceptStream()
		if err != nil {
			return
		}
		l.give(&stream{Stream: s, session: session, node: node})
	}
}

// pause waits for d, or until ctx is canceled.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
