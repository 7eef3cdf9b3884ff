package waf

import (
	"context"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A Bench bounds how many requests are judged at once, by all firewalls of an
// edge. What is dear has seats of its own, for half of the cores, so that what is
// cheap never waits for it, nor what asks no firewall for either.
type Bench struct {
	patience    time.Duration
	dear, cheap seats
}

// NewBench returns a Bench for the cores that this process may use. Nobody waits
// longer for a seat than patience.
func NewBench(patience time.Duration) *Bench {
	cores := runtime.GOMAXPROCS(0)
	return &Bench{patience: patience, dear: seats{free: max(1, cores/2)}, cheap: seats{free: cores}}
}

// Sit waits until r may be judged, and returns what ends that. Who waits gets a
// seat in turn with the other clients, however many requests each of them has. It
// fails only if that takes too long.
func (b *Bench) Sit(ctx context.Context, r Request) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	s := &b.cheap
	if Dear(r) {
		s = &b.dear
	}
	return s.leave, s.take(ctx, clientOf(r.Client.Addr()))
}

// Dear reports whether a judgement may take more than some 50 ms of a core. Each
// rule is asked of each byte, which takes ten microseconds together, and of each
// parameter, value or cookie anew, which takes as much as some 32 bytes.
func Dear(r Request) bool {
	const most, each = 4 << 10, 32
	cost := len(r.Body) + each*parts(r.Body) + len(r.Target) + each*parts(r.Target)
	for name, lines := range r.Header {
		for _, line := range lines {
			cost += len(name) + len(line)
			if name == "Cookie" {
				cost += each * parts(line)
			}
		}
	}
	return cost > most
}

// parts returns how many parameters, values or cookies a text may have at most.
func parts[T string | []byte](s T) (n int) {
	for i := range len(s) {
		switch s[i] {
		case '&', ';', ',', '{', '[':
			n++
		}
	}
	return n
}

// clientOf returns whose requests take turns: an address, of IPv6 the network.
func clientOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // bits fit; the zero one stands for an unknown
	return p
}

// seats are taken and left.
type seats struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting map[netip.Prefix][]chan struct{} // by client, the first first; one is closed when it has a seat
	turn    []netip.Prefix                   // of clients that wait
}

func (s *seats) take(ctx context.Context, who netip.Prefix) error {
	mine := s.queue(who)
	if mine == nil {
		return nil
	}
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting[who], mine)
	if i < 0 {
		return nil // it was given one meanwhile
	}
	if s.waiting[who] = slices.Delete(s.waiting[who], i, i+1); len(s.waiting[who]) == 0 {
		delete(s.waiting, who)
		s.turn = slices.DeleteFunc(s.turn, func(p netip.Prefix) bool { return p == who })
	}
	return ctx.Err()
}

// queue takes a free seat, and returns nil, or else what to wait for.
func (s *seats) queue(who netip.Prefix) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		return nil
	}
	if s.waiting == nil {
		s.waiting = map[netip.Prefix][]chan struct{}{}
	}
	if len(s.waiting[who]) == 0 {
		s.turn = append(s.turn, who)
	}
	mine := make(chan struct{})
	s.waiting[who] = append(s.waiting[who], mine)
	return mine
}

// leave gives a seat to the client whose turn it is.
func (s *seats) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.turn) == 0 {
		s.free++
		return
	}
	who := s.turn[0]
	s.turn = s.turn[1:]
	all := s.waiting[who]
	close(all[0])
	if len(all) == 1 {
		delete(s.waiting, who)
		return
	}
	s.waiting[who] = all[1:]
	s.turn = append(s.turn, who)
}
