package sandbox

import (
	"context"
	"net"
	"net/netip"
	"os"
)

// Listen opens a port of the system's choice at ip that only the user uid can
// use: other users' connections are closed before a byte is read. With uid 0,
// or this process's own, there is nobody to tell apart, and all are let in.
func Listen(ctx context.Context, ip netip.Addr, uid int) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil || uid <= 0 || uid == os.Getuid() {
		return ln, err
	}
	return &ownListener{ln, uid}, nil
}

type ownListener struct {
	net.Listener
	uid int
}

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if owner, err := ownerOf(c); err == nil && owner == l.uid {
			return c, nil
		}
		c.Close()
	}
}
