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
	given map[Name]given
	open  map[Name]filer
	pass  map[Name]func() (*os.File, string, error)
}

// A given file came from another process.
type given struct {
	file *os.File
	note string
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
	f := s.given[name].file
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

// Pass has the next process get something of this one's beside the sockets: a
// file, which is closed once it is sent, and a note. make is called for each
// process that asks. Passed returns it there.
func (s *Sockets) Pass(network, address string, make func() (*os.File, string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pass == nil {
		s.pass = map[Name]func() (*os.File, string, error){}
	}
	s.pass[Name{network, plain(address)}] = make
}

// Passed returns what the process before passed under a name, once. The file is
// nil if there is none.
func (s *Sockets) Passed(network, address string) (f *os.File, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := Name{network, plain(address)}
	g := s.given[name]
	delete(s.given, name)
	return g.file, g.note
}

// give makes a socket of another process one of these.
func (s *Sockets) give(n Name, g given) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given == nil {
		s.given = map[Name]given{}
	}
	if was := s.given[n]; was.file != nil {
		was.file.Close()
	}
	s.given[n] = g
}

// Activate takes sockets that a service manager opened (sd_listen_fds(3)).
func (s *Sockets) Activate(files []*os.File) error {
	for _, f := range files {
		n, err := nameOf(f)
		if err != nil {
			return fmt.Errorf("socket %s of the service manager: %w", f.Name(), err)
		}
		s.give(n, given{file: f})
	}
	return nil
}

// nameOf asks a socket for its address.
func nameOf(f *os.File) (Name, error) {
	if l, err := net.FileListener(f); err == nil { // a copy
		defer l.Close()
		return Name{l.Addr().Network(), plain(l.Addr().String())}, nil
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return Name{}, err
	}
	defer c.Close()
	return Name{c.LocalAddr().Network(), plain(c.LocalAddr().String())}, nil
}

// Settle closes what was given and is not listened on: the configuration has
// changed. It returns their names.
func (s *Sockets) Settle() (left []Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, g := range s.given {
		g.file.Close()
		left = append(left, n)
	}
	s.given = nil
	return left
}

// Keep holds the sockets that are listened on, whatever their users do. restore
// makes them be given to this process again, and drop lets them go.
func (s *Sockets) Keep() (restore, drop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, err := s.duplicates()
	if err != nil {
		return nil, nil, err
	}
	restore = func() {
		s.mu.Lock()
		s.open, s.pass = nil, nil
		s.mu.Unlock()
		for n, g := range kept {
			s.give(n, g)
		}
	}
	drop = func() {
		for _, g := range kept {
			g.file.Close()
		}
	}
	return restore, drop, nil
}

// copies returns a copy of each socket that is listened on, and what is passed.
func (s *Sockets) copies() (map[Name]given, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.duplicates()
	for n, make := range s.pass {
		if err != nil {
			break
		}
		var g given
		if g.file, g.note, err = make(); err == nil {
			out[n] = g
		} else {
			err = fmt.Errorf("pass %s %s: %w", n.Network, n.Address, err)
		}
	}
	if err != nil {
		for _, g := range out {
			g.file.Close()
		}
		return nil, err
	}
	return out, nil
}

// duplicates returns a copy of each socket that is listened on. It is called with
// s.mu held.
func (s *Sockets) duplicates() (map[Name]given, error) {
	out := map[Name]given{}
	for n, c := range s.open {
		f, err := c.File()
		if errors.Is(err, net.ErrClosed) {
			delete(s.open, n)
			continue
		}
		if err != nil {
			return out, fmt.Errorf("copy the socket %s %s: %w", n.Network, n.Address, err)
		}
		out[n] = given{file: f}
	}
	return out, nil
}
