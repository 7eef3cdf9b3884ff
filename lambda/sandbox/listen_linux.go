package sandbox

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The layout of sock_diag(7)'s messages, in bytes.
const (
	nlHeader   = 16
	diagReq    = 56 // struct inet_diag_req_v2
	diagUID    = 64 // where struct inet_diag_msg has the uid
	diagStates = 0xffffffff
)

// ownerOf returns the user who opened the other end of a connection within
// this machine. It asks the kernel for that one socket.
func ownerOf(c net.Conn) (uid int, err error) {
	peer, own := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("open sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagRequest(peer, own), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("ask sock_diag: %w", err)
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return 0, fmt.Errorf("read sock_diag: %w", err)
	}
	return diagAnswer(buf[:n])
}

// diagRequest asks for the TCP socket that is bound to from and connected to to.
func diagRequest(from, to netip.AddrPort) []byte {
	b := make([]byte, nlHeader+diagReq)
	ne := binary.NativeEndian
	ne.PutUint32(b[0:], uint32(len(b)))
	ne.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST)
	d := b[nlHeader:]
	d[0], d[1] = unix.AF_INET, unix.IPPROTO_TCP
	if from.Addr().Is6() {
		d[0] = unix.AF_INET6
	}
	ne.PutUint32(d[4:], diagStates)
	binary.BigEndian.PutUint16(d[8:], from.Port())
	binary.BigEndian.PutUint16(d[10:], to.Port())
	copy(d[12:28], from.Addr().AsSlice())
	copy(d[28:44], to.Addr().AsSlice())
	ne.PutUint64(d[48:], ^uint64(0)) // no cookie
	return b
}

func diagAnswer(b []byte) (uid int, err error) {
	ne := binary.NativeEndian
	switch {
	case len(b) < nlHeader+diagUID+4:
		return 0, fmt.Errorf("sock_diag: answer of %d bytes", len(b))
	case ne.Uint16(b[4:]) != unix.SOCK_DIAG_BY_FAMILY:
		return 0, fmt.Errorf("sock_diag: no such socket")
	}
	return int(ne.Uint32(b[nlHeader+diagUID:])), nil
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
