package edge

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/internal/framing"
)

// A parking is where idle connections wait that net/http was taken off. Each costs
// its TLS state and one small goroutine, in place of net/http's buffers and stacks
// that have grown. When a client asks again, its connection goes to net/http a
// second time.
type parking struct {
	after time.Duration // of idleness; less than 0: none is parked
	crowd *crowd
	out   *entrance
	slim  slimmer
	held  atomic.Int64   // connections that net/http does not have
	all   sync.WaitGroup // of goroutines that wait

	mu     sync.Mutex // guards what follows
	closed bool
	places map[*visit]struct{}
}

// A sitter is a connection that may be parked.
type sitter interface {
	net.Conn
	Under() framing.Secure
	Resume() // it is about to be served again
	Bye()    // it ends
}

// takes reports whether a connection may be parked.
func (b *parking) takes(c net.Conn) bool {
	v := visitOf(c)
	return canPark && b != nil && b.after > 0 && v != nil && rawOf(v.Conn) != nil
}

// enter gives a connection a place, unless the parking is closed.
func (b *parking) enter(v *visit) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if b.places == nil {
		b.places = map[*visit]struct{}{}
	}
	b.places[v] = struct{}{}
	b.held.Add(1)
	b.crowd.parked.Add(1)
	b.all.Add(1)
	return true
}

func (b *parking) leave(v *visit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.places, v)
	b.crowd.parked.Add(-1)
}

// clear closes what is parked, takes no more, and returns once nobody waits.
func (b *parking) clear() {
	b.mu.Lock()
	b.closed = true
	for v := range b.places {
		v.SetReadDeadline(longAgo) // it closes its connection itself
	}
	b.mu.Unlock()
	b.out.Close()
	b.all.Wait()
}

// park lets a connection of HTTP/1.1 sit until its client asks again, or its time
// is over.
func (b *parking) park(c *framing.H1, until time.Time) { b.seat(c, until) }

// rest lets one of HTTP/2 sit.
func (b *parking) rest(c *framing.H2, until time.Time) { b.seat(c, until) }

func (b *parking) seat(c sitter, until time.Time) {
	v := visitOf(c)
	if t, ok := c.Under().(*tls.Conn); ok {
		b.slim.take(t)
	}
	if v.SetReadDeadline(until) != nil || !b.enter(v) {
		go c.Bye() // which may wait for its client
		return
	}
	go b.wait(c, v)
}

func (b *parking) wait(c sitter, v *visit) {
	defer b.all.Done()
	defer b.held.Add(-1)
	ok := readable(v.Conn)
	b.leave(v)
	if ok {
		c.Resume()
		select {
		case b.out.ready <- c:
			return
		case <-b.out.closed:
		}
	}
	c.Bye()
}

// readable waits without a buffer until something can be read of a connection,
// or its end. It returns false if its deadline comes first.
func readable(c net.Conn) bool {
	return rawOf(c).Read(hasBytes) == nil && c.SetReadDeadline(time.Time{}) == nil
}

// rawOf returns the socket of a connection; nil if it has none.
func rawOf(c net.Conn) syscall.RawConn {
	if p, ok := c.(*proxiedConn); ok {
		c = p.socket
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
