package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
)

// Sockets are those that a process listens on. One that was handed to it is used
// where it would open the same anew. The zero value has none; its methods may be
// called by many goroutines at once.
type Sockets struct {
	mu    sync.Mutex // guards what follows
	given map[Name]*os.File
	open  map[Name]filer
}

// A Name says which socket it is.
type Name struct {
	Network string `json:"network"` // tcp, or udp
	Address string `json:"address"` // an IP address and a port
}

// A filer is a socket of package net.
type filer interface {
	File() (*os.File, error)
}

// Listen is as net.ListenConfig's.
func (s *Sockets) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := take(s, network, address, net.FileListener, func() (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, network, address)
	})
	if err == nil {
		s.keep(Name{"tcp", plain(l.Addr().String())}, l)
	}
	return l, err
}

// ListenPacket is as net.ListenConfig's.
func (s *Sockets) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := take(s, network, address, net.FilePacketConn, func() (net.PacketConn, error) {
		return new(net.ListenConfig).ListenPacket(ctx, network, address)
	})
	if err == nil {
		s.keep(Name{"udp", plain(c.LocalAddr().String())}, c)
	}
	return c, err
}

// take uses the socket that was given for an address, or else makes one.
func take[T any](s *Sockets, network, address string, use func(*os.File) (T, error), make func() (T, error)) (T, error) {
	s.mu.Lock()
	name := Name{strings.TrimRight(network, "46"), plain(address)}
	f := s.given[name]
	delete(s.given, name)
	s.mu.Unlock()
	if f == nil {
		return make()
	}
	defer f.Close() // what use returns is a copy
	c, err := use(f)
	if err != nil {
		return c, fmt.Errorf("use the socket %s %s that was handed over: %w", network, address, err)
	}
	return c, nil
}

// plain writes an address in one way.
func plain(address string) string {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}

func (s *Sockets) keep(n Name, socket any) {
	f, ok := socket.(filer)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[Name]filer{}
	}
	s.open[n] = f
}

// give makes a socket of another process one of these.
func (s *Sockets) give(n Name, f *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given == nil {
		s.given = map[Name]*os.File{}
	}
	if was := s.given[n]; was != nil {
		was.Close()
	}
	s.given[n] = f
}

// Settle closes what was given and is not listened on: the configuration has
// changed. It returns their names.
func (s *Sockets) Settle() (left []Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, f := range s.given {
		f.Close()
		left = append(left, n)
	}
	s.given = nil
	return left
}

// copies returns a copy of each socket that is listened on.
func (s *Sockets) copies() (map[Name]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[Name]*os.File{}
	for n, c := range s.open {
		f, err := c.File()
		if errors.Is(err, net.ErrClosed) {
			delete(s.open, n)
			continue
		}
		if err != nil {
			for _, f := range out {
				f.Close()
			}
			return nil, fmt.Errorf("copy the socket %s %s: %w", n.Network, n.Address, err)
		}
		out[n] = f
	}
	return out, nil
}
