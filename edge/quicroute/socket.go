package quicroute

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A Socket is a UDP socket as quic-go reads it.
type Socket struct {
	*net.UDPConn
	batch *ipv4.PacketConn
	keys  Keys
	mine  Epoch

	before []Epoch       // of the processes before this one
	back   *net.UnixConn // to the one just before; nil: there is none

	next   atomic.Pointer[net.UnixConn] // from the next process, once it reads the socket
	told   *net.UnixConn                // that this one does not read it; ReadBatch's own
	closed atomic.Bool

	mu       sync.Mutex // guards what follows
	waiting  []*net.UnixConn
	deadline time.Time // that quic-go set
}

// Keys are what all processes of a node have: tokens and resets of one are good at
// the next.
type Keys struct {
	Reset quic.StatelessResetKey
	Token quic.TokenGeneratorKey
}

// A note goes with the channel to the next process.
type note struct {
	Keys
	Epochs []Epoch
}

// New returns a socket that no process had before.
func New(c *net.UDPConn) *Socket {
	s := &Socket{UDPConn: c, batch: ipv4.NewPacketConn(c), mine: newEpoch()}
	rand.Read(s.keys.Reset[:])
	rand.Read(s.keys.Token[:])
	return s
}

// patience bounds how long the process before may take to stop reading.
const patience = time.Second

// Follow returns the socket of a process before this one, which passes on what is
// that one's. f and text are what its Pass returned; f is closed.
func Follow(ctx context.Context, c *net.UDPConn, f *os.File, text string) (*Socket, error) {
	defer f.Close()
	var n note
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return nil, fmt.Errorf("what goes with the UDP socket: %w", err)
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("the channel that goes with the UDP socket: %w", err)
	}
	back, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("the channel that goes with the UDP socket is a %T", conn)
	}
	s := &Socket{UDPConn: c, batch: ipv4.NewPacketConn(c), mine: newEpoch(), keys: n.Keys, before: n.Epochs, back: back}
	// The other stops before this one begins: a packet of a connection that it does
	// not know it would answer with a reset.
	back.SetDeadline(time.Now().Add(patience))
	defer context.AfterFunc(ctx, func() { back.SetDeadline(time.Unix(1, 0)) })()
	if _, err = back.Write([]byte("begin")); err == nil {
		_, err = back.Read(make([]byte, 8))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		back.Close() // it has ended, and its connections with it
		s.before, s.back = nil, nil
		return s, nil
	}
	if err != nil {
		back.Close()
		return nil, fmt.Errorf("have the process before leave the UDP socket: %w", err)
	}
	back.SetDeadline(time.Time{})
	return s, nil
}

// Generator returns what makes connection IDs.
func (s *Socket) Generator() quic.ConnectionIDGenerator { return s.mine }

// Keys returns the keys of all processes.
func (s *Socket) Keys() Keys { return s.keys }

// Pass makes a channel for the next process, which hands both to Follow.
func (s *Socket) Pass() (f *os.File, text string, err error) {
	b, err := json.Marshal(note{s.keys, append([]Epoch{s.mine}, s.before...)})
	if err != nil {
		return nil, "", err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, "", fmt.Errorf("make a channel: %w", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		unix.SetNonblock(fd, true)
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, channelBuffer) // as much of it as the system allows
	}
	ours := os.NewFile(uintptr(fds[0]), "quic, from the next process")
	defer ours.Close()
	f = os.NewFile(uintptr(fds[1]), "quic, to the process before")
	c, err := net.FileConn(ours)
	if err != nil {
		f.Close()
		return nil, "", err
	}
	s.await(c.(*net.UnixConn))
	return f, string(b), nil
}

// channelBuffer is wanted for the packets that the process before has not read yet.
const channelBuffer = 4 << 20

// await has this process leave the socket to the next one when that begins.
func (s *Socket) await(c *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		c.Close()
		return
	}
	s.waiting = append(s.waiting, c)
	go func() { // ends when the next process begins or ends, or the socket is closed
		if n, err := c.Read(make([]byte, 8)); n == 0 || err != nil {
			c.Close()
			return
		}
		s.next.Store(c)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.UDPConn.SetReadDeadline(time.Unix(1, 0)) // ReadBatch goes on with c
	}()
}

// ReadBatch is how quic-go reads. It returns this process's packets alone.
func (s *Socket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		var n int
		var err error
		if next := s.next.Load(); next != nil {
			if s.told != next {
				s.told = next
				next.Write([]byte("ok")) // if it is gone, the next read says so
			}
			n, err = s.readNext(next, ms)
		} else if n, err = s.batch.ReadBatch(ms, flags); errors.Is(err, os.ErrDeadlineExceeded) && s.next.Load() != nil && !s.due() {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n = s.sort(ms[:n]); n > 0 {
			return n, nil
		}
	}
}

// due reports whether quic-go wants reading to end.
func (s *Socket) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.deadline.IsZero() && !s.deadline.After(time.Now())
}

// SetReadDeadline implements net.PacketConn.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if next := s.next.Load(); next != nil {
		next.SetReadDeadline(t)
		if t.IsZero() {
			return nil
		}
	}
	return s.UDPConn.SetReadDeadline(t)
}

// readNext reads what the next process passes on. If that one ended, this one
// reads the socket again.
func (s *Socket) readNext(next *net.UnixConn, ms []ipv4.Message) (int, error) {
	buf := make([]byte, maxPassed)
	k, err := next.Read(buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, err
	case err != nil || k == 0:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.next.CompareAndSwap(next, nil)
		return 0, s.UDPConn.SetReadDeadline(s.deadline)
	}
	if !decode(buf[:k], &ms[0]) {
		return 0, nil
	}
	return 1, nil
}

// sort passes on what is another process's, and moves the rest to the front.
// Messages stay where they are: their buffers are known by their place.
func (s *Socket) sort(ms []ipv4.Message) (kept int) {
	for i := range ms {
		m := &ms[i]
		if len(s.before) > 0 && theirs(m.Buffers[0][:m.N], s.before) && s.passOn(m) {
			continue
		}
		if kept != i {
			to := &ms[kept]
			to.N = copy(to.Buffers[0], m.Buffers[0][:m.N])
			to.NN = copy(to.OOB[:cap(to.OOB)], m.OOB[:m.NN])
			to.Addr, to.Flags = m.Addr, m.Flags
		}
		kept++
	}
	return kept
}

// passOn gives a packet to the process before. It reports false once that has
// ended. One that reads too slowly loses packets, as from a network.
func (s *Socket) passOn(m *ipv4.Message) bool {
	addr, ok := m.Addr.(*net.UDPAddr)
	if !ok {
		return true
	}
	raw, err := s.back.SyscallConn()
	if err != nil {
		return false
	}
	b := encode(addr.AddrPort(), m.OOB[:m.NN], m.Buffers[0][:m.N])
	failed := raw.Write(func(fd uintptr) bool {
		_, err = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true
	})
	return failed == nil && (err == nil || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EMSGSIZE))
}

// relayMost bounds how long a process that ends goes on for those before it: longer
// than those may take to end.
const relayMost = 35 * time.Second

// relay passes on what the next process has for those before this one, until the
// one just before has ended. Were this one to leave earlier, that one would take
// the next process's end for it, and read the socket beside it.
func (s *Socket) relay() {
	next := s.next.Load()
	if next == nil || s.back == nil {
		return
	}
	next.SetReadDeadline(time.Now().Add(relayMost))
	go func() { // ends with the process before, or when back is closed
		s.back.Read(make([]byte, 8))
		next.SetReadDeadline(time.Unix(1, 0))
	}()
	buf := make([]byte, maxPassed)
	m := ipv4.Message{Buffers: [][]byte{make([]byte, maxPassed)}, OOB: make([]byte, 256)}
	for {
		n, err := next.Read(buf)
		if err != nil || n == 0 {
			return
		}
		if decode(buf[:n], &m) && theirs(m.Buffers[0][:m.N], s.before) && !s.passOn(&m) {
			return
		}
	}
}

// Close implements net.PacketConn. It may take as long as the processes before this
// one take to end, if there is a next one.
func (s *Socket) Close() error {
	s.relay()
	s.mu.Lock()
	s.closed.Store(true)
	for _, c := range s.waiting {
		c.Close()
	}
	s.mu.Unlock()
	if s.back != nil {
		s.back.Close()
	}
	return s.UDPConn.Close()
}

// A packet that is passed on: lengths of address and control data, those, and the
// datagram.
const maxPassed = 2 + 64 + 256 + 64<<10

func encode(from netip.AddrPort, oob, datagram []byte) []byte {
	b := []byte{0, byte(len(oob))}
	b = from.AppendTo(b)
	b[0] = byte(len(b) - 2)
	return append(append(b, oob...), datagram...)
}

// decode reports false for what encode did not make, or has no room.
func decode(b []byte, m *ipv4.Message) bool {
	if len(b) < 2 || len(b) < 2+int(b[0])+int(b[1]) {
		return false
	}
	addr, oob, datagram := b[2:2+int(b[0])], b[2+int(b[0]):2+int(b[0])+int(b[1])], b[2+int(b[0])+int(b[1]):]
	from, err := netip.ParseAddrPort(string(addr))
	if err != nil || len(datagram) > len(m.Buffers[0]) || len(oob) > cap(m.OOB) {
		return false
	}
	m.Addr = net.UDPAddrFromAddrPort(from)
	m.N, m.NN = copy(m.Buffers[0], datagram), copy(m.OOB[:cap(m.OOB)], oob)
	return true
}
