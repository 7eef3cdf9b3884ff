package edge

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A doorstep hands out one connection, and tells when the next is waited for.
type doorstep struct {
	net.Listener
	again chan struct{}
	came  chan net.Conn
}

func (d doorstep) Accept() (net.Conn, error) {
	select {
	case c := <-d.came:
		return c, nil
	default:
	}
	close(d.again)
	return nil, net.ErrClosed
}

func TestAnIdleClientIsProbedOnceAMinute(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	d := doorstep{Listener: l, again: make(chan struct{}), came: make(chan net.Conn, 1)}
	d.came <- c
	in := (&lobby{Listener: d, crowd: &crowd{limits: Limits{Connections: 1}}}).open()
	<-d.again
	raw.Control(func(fd uintptr) {
		on, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		idle, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
		if want := int(time.Minute / time.Second); err != nil || on == 0 || idle != want {
			t.Errorf("probed after %d s (%d, %v), want %d", idle, on, err, want)
		}
	})
	in.Close()
}
