package edge

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/edge/framing"
)

// A bench is where idle connections of HTTP/1.1 sit that net/http was taken off.
// Each costs its TLS state and one small goroutine, in place of net/http's two
// buffers and a stack that has grown. When a client asks again, its connection
// goes to net/http a second time.
type bench struct {
	after time.Duration // of idleness; less than 0: nobody sits
	crowd *crowd
	out   *entrance
	held  atomic.Int64   // connections that net/http does not have
	all   sync.WaitGroup // of goroutines that wait

	mu     sync.Mutex // guards what follows
	closed bool
	seats  map[*visit]struct{}
}

// takes reports whether a connection may sit.
func (b *bench) takes(c net.Conn) bool {
	v := visitOf(c)
	return canPark && b != nil && b.after > 0 && v != nil && rawOf(v.Conn) != nil
}

// sit gives a connection a seat, unless the bench is closed.
func (b *bench) sit(v *visit) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if b.seats == nil {
		b.seats = map[*visit]struct{}{}
	}
	b.seats[v] = struct{}{}
	b.held.Add(1)
	b.crowd.parked.Add(1)
	b.all.Add(1)
	return true
}

func (b *bench) rise(v *visit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seats, v)
	b.crowd.parked.Add(-1)
}

// clear closes what sits, takes no more, and returns once nobody waits.
func (b *bench) clear() {
	b.mu.Lock()
	b.closed = true
	for v := range b.seats {
		v.SetReadDeadline(longAgo) // it closes its connection itself
	}
	b.mu.Unlock()
	b.out.Close()
	b.all.Wait()
}

// park lets a connection sit until its client asks again, or its time is over.
func (b *bench) park(c *framing.H1, until time.Time) {
	v := visitOf(c)
	if v.SetReadDeadline(until) != nil || !b.sit(v) {
		c.Secure.Close()
		return
	}
	go b.wait(c, v)
}

func (b *bench) wait(c *framing.H1, v *visit) {
	defer b.all.Done()
	defer b.held.Add(-1)
	ok := readable(v.Conn)
	b.rise(v)
	if ok {
		select {
		case b.out.ready <- c:
			return
		case <-b.out.closed:
		}
	}
	c.Secure.Close()
}

// readable waits without a buffer until something can be read of a connection,
// or its end. It returns false if its deadline comes first.
func readable(c net.Conn) bool {
	return rawOf(c).Read(hasBytes) == nil && c.SetReadDeadline(time.Time{}) == nil
}

// rawOf returns the socket of a connection; nil if it has none.
func rawOf(c net.Conn) syscall.RawConn {
	if p, ok := c.(*proxiedConn); ok {
		c = p.Raw()
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
