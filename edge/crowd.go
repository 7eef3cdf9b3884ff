package edge

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"meridian/internal/stricthttp"
)

// An Arrival is how many connections are open when one more comes.
type Arrival struct {
	All  int  // of everybody
	Own  int  // of the client that comes
	Near bool // the client is on this machine: it may stand for many
}

// An Admission is whether a connection is let in, and why.
type Admission struct {
	In  bool
	Why Cut // why not
}

// A Cut is why the edge refused or ended a connection. The set is closed: it is
// a label of a metric.
type Cut string

// The cuts of admission.
const (
	CutFull   Cut = "full"   // Limits.Connections are open
	CutClient Cut = "client" // Limits.ConnectionsPerClient are open of one address
)

// Admit decides whether one more connection is let in. A client on this machine
// is bound by the number of its own only if the operator gave one: proxies and
// tests stand there for many.
func Admit(c Arrival, l Limits) Admission {
	switch {
	case c.All >= l.Connections:
		return Admission{Why: CutFull}
	case c.Near && l.ConnectionsPerClient == 0:
	case c.Own >= l.perClient():
		return Admission{Why: CutClient}
	}
	return Admission{In: true}
}

// defaultPerClient is the bound of one client's connections where none is given.
// Many people may stand behind one address.
const defaultPerClient = 4096

func (l Limits) perClient() int {
	if l.ConnectionsPerClient == 0 {
		return defaultPerClient
	}
	return l.ConnectionsPerClient
}

// A crowd counts the open connections of all doors, by client.
type crowd struct {
	limits Limits
	parked atomic.Int64 // of them, those that are parked

	mu  sync.Mutex // guards what follows
	all int
	of  map[netip.Prefix]int
}

// enter lets a connection in, or says why not. Who was let in must leave.
func (c *crowd) enter(from net.Addr) Admission {
	who, near := stricthttp.ClientOf(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	a := Admit(Arrival{All: c.all, Own: c.of[who], Near: near}, c.limits)
	if !a.In {
		return a
	}
	if c.of == nil {
		c.of = map[netip.Prefix]int{}
	}
	c.all++
	c.of[who]++
	return a
}

// doubtful reports whether who comes is to prove its address first: it has half of
// the connections that it may have, and may be one whose address others bear.
func (c *crowd) doubtful(from net.Addr) bool {
	who, near := stricthttp.ClientOf(from)
	if near && c.limits.ConnectionsPerClient == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return 2*(c.of[who]+1) > c.limits.perClient()
}

// leave ends what enter began.
func (c *crowd) leave(from net.Addr) {
	who, _ := stricthttp.ClientOf(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[who]--; c.of[who] == 0 {
		delete(c.of, who)
	}
}

func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}
