package world

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"meridian"
	"meridian/config"
)

// firstBlock and lastBlock bound the search for 127.B.0.0/16; 127.0 belongs to
// everybody.
const firstBlock, lastBlock = 10, 250

// maxPlaces is how many networks 198.18.N.0/24 there are for clients, and
// addresses 127.B.N.1.
const maxPlaces = 254

// claim returns the plan in the first block all of whose addresses are free,
// or in the block that is asked for (0: any). The error of a taken address
// names it.
func claim(f config.File, block int, state string) (config.File, int, error) {
	if n := len(Places(&f)); n > maxPlaces {
		return f, 0, meridian.WithKind(meridian.Invalid, fmt.Errorf("%d places; a world on one machine has at most %d", n, maxPlaces))
	}
	if block < 0 || block > lastBlock {
		return f, 0, meridian.WithKind(meridian.Invalid, fmt.Errorf("block %d; expected 1 to %d", block, lastBlock))
	}
	if block != 0 {
		p := Plan(f, block, state)
		return p, block, free(&p, block)
	}
	var first error
	for b := firstBlock; b <= lastBlock; b++ {
		p := Plan(f, b, state)
		err := free(&p, b)
		if err == nil {
			return p, b, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break // another block would not help
		}
	}
	return config.File{}, 0, fmt.Errorf("no block of 127.%d.0.0 to 127.%d.0.0 is free: %w", firstBlock, lastBlock, first)
}

// take claims a block and holds it, until the closer that it returns is closed:
// nodes listen only much later, and two worlds may be starting at once.
func take(f config.File, block int, state string) (config.File, int, io.Closer, error) {
	for {
		p, b, err := claim(f, block, state)
		if err != nil {
			return p, 0, nil, err
		}
		held, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(holdAddress(b)))
		if err == nil {
			return p, b, held, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return p, 0, nil, fmt.Errorf("hold 127.%d.0.0/16: %w", b, err)
		}
	}
}

// holdAddress is where a world listens to say that a block is its own. Nobody
// answers there.
func holdAddress(block int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(block), 0, 2}), 7443)
}

// free reports the first address of the plan on which nobody could listen now.
func free(f *config.File, block int) error {
	if err := listenable(holdAddress(block)); err != nil {
		return fmt.Errorf("127.%d.0.0/16 belongs to another world: %w", block, err)
	}
	for _, n := range f.Nodes {
		for _, a := range Listeners(n) {
			if err := listenable(a); err != nil {
				return fmt.Errorf("%s cannot listen on %s: %w", n.Name, a, err)
			}
		}
		if n.Has(config.RoleControl) {
			if err := hearable(netip.AddrPortFrom(n.Address, n.Ports.DNS)); err != nil {
				return fmt.Errorf("%s cannot listen on %s, UDP: %w", n.Name, netip.AddrPortFrom(n.Address, n.Ports.DNS), err)
			}
		}
	}
	return nil
}

func listenable(a netip.AddrPort) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		return reasonOf(err)
	}
	return l.Close()
}

// hearable is listenable for UDP.
func hearable(a netip.AddrPort) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return reasonOf(err)
	}
	return c.Close()
}

// reasonOf takes what the caller says anyway out of a net error.
func reasonOf(err error) error {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys
	}
	return err
}
