package backbone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"meridian"
)

// Dial makes a TLS connection of its own to a service of a node. It takes two
// round trips. Errors have the kind Unavailable, Timeout or Canceled, or
// NotFound for a node that nobody named.
func (b *Backbone) Dial(ctx context.Context, node, service string) (net.Conn, error) {
	c, err := b.dial(ctx, node, service, alpn(service))
	if err != nil {
		return nil, opError(ctx, "dial", service, node, err)
	}
	return c, nil
}

// dial makes a TLS connection for an ALPN name.
func (b *Backbone) dial(ctx context.Context, node, service, proto string) (*conn, error) {
	peer, ok := b.peer(node)
	if !ok {
		return nil, meridian.WithKind(meridian.NotFound, errors.New("no node of that name"))
	}
	limit := b.dialTimeout(node)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("dial %s: no answer in %v", peer.Addr, limit.Round(time.Millisecond)))
	defer cancel()
	raw, err := b.dialTCP(ctx, peer)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	tc := tls.Client(raw, b.clientTLS(node, proto))
	if err := tc.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("prove who is who to %s: %w", peer.Addr, causeOf(ctx, err))
	}
	return &conn{Conn: tc, node: node}, nil
}

// causeOf returns why ctx ended, if that is why err happened.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// dialTimeout is how long dialing may take: two round trips and slack.
func (b *Backbone) dialTimeout(node string) time.Duration {
	round := time.Duration(0)
	if line := b.deps.Links.line(b.cfg.Node, node); line != nil {
		round = line.RTT()
	} else if m, ok := b.RTT(node); ok {
		round = m.P50
	} else if b.deps.Links == nil {
		round = unknownRTT
	}
	return 2*round + slack
}

// dialTCP connects to a peer, on its simulated line if there is one.
func (b *Backbone) dialTCP(ctx context.Context, peer Peer) (net.Conn, error) {
	line := b.deps.Links.line(b.cfg.Node, peer.Node)
	if line == nil {
		return b.connect(ctx, peer.Addr)
	}
	c, err := b.slow.Dial(ctx, line, func(ctx context.Context) (net.Conn, error) { return b.connect(ctx, peer.Addr) })
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes a TCP connection that comes from this node's own address.
func (b *Backbone) connect(ctx context.Context, addr string) (net.Conn, error) {
	if b.deps.DialTCP != nil {
		return b.deps.DialTCP(ctx, addr)
	}
	d := net.Dialer{
		LocalAddr:       b.source(),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if d.LocalAddr != nil && errors.Is(err, syscall.EADDRNOTAVAIL) {
		d.LocalAddr = nil // a system that has only 127.0.0.1
		c, err = d.DialContext(ctx, "tcp", addr)
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = fmt.Errorf("dial %s: %w", addr, sys.Err)
	}
	return c, err
}

// source is the address that this node's connections come from, or nil for
// what the system chooses: without it, loopback connections of all nodes would
// come from 127.0.0.1.
func (b *Backbone) source() net.Addr {
	host, _, _ := net.SplitHostPort(b.cfg.Listen)
	ip := net.ParseIP(host)
	if ip == nil || ip.IsUnspecified() {
		return nil
	}
	return &net.TCPAddr{IP: ip}
}

// opError says what failed, and gives it the kind that its caller can act on.
func opError(ctx context.Context, op, service, node string, err error) error {
	kind := meridian.Unavailable
	var own *meridian.Error
	switch {
	case errors.As(err, &own):
		kind = own.Kind
	case errors.Is(ctx.Err(), context.Canceled):
		kind = meridian.Canceled
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		kind = meridian.Timeout
	}
	return meridian.WithKind(kind, fmt.Errorf("%s %s to %s: %w", op, service, node, err))
}
