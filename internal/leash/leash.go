// Package leash is the pair of pipes between a supervisor and a child: orders
// go down, reports come up, and the end of the first pipe tells the child that
// its supervisor is gone, however abruptly it went.
package leash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Variable is set, to 1, in the environment of a child that is on a leash. Its
// pipes are then file descriptors 3 (orders) and 4 (reports).
const Variable = "MERIDIAN_LEASH"

// StartVariable names the start of a world in the environment of its nodes:
// each start has another.
const StartVariable = "MERIDIAN_START"

// HandoverVariable is set, to 1, in the environment of a process that takes the
// place of the one that runs its node.
const HandoverVariable = "MERIDIAN_HANDOVER"

const ordersFD, reportsFD = 3, 4

// A Fault is what is wrong with the link between two places.
type Fault struct {
	A      string        `json:"a"`
	B      string        `json:"b"`
	Cut    bool          `json:"cut,omitempty"`     // bytes vanish
	OneWay bool          `json:"one_way,omitempty"` // only those from A to B
	Extra  time.Duration `json:"extra,omitempty"`   // added to each round trip
}

// An Order is all that a supervisor tells: the whole state, each time.
type Order struct {
	Faults []Fault `json:"faults"`
}

// A Report is what a child says of itself.
type Report struct {
	Part  string        `json:"part,omitempty"`  // this part became ready
	Took  time.Duration `json:"took,omitempty"`  // after so long
	Note  string        `json:"note,omitempty"`  // for people
	Ready bool          `json:"ready,omitempty"` // everything is
	Error string        `json:"error,omitempty"` // why it is about to exit
	Gone  bool          `json:"gone,omitempty"`  // it was removed from the world, and must not be started again
}

// A Child is the lower end.
type Child struct {
	orders  *os.File
	mu      sync.Mutex // guards what follows
	reports *json.Encoder
}

// Attach returns the leash that this process is on, or nil if it is on none.
func Attach() *Child {
	if os.Getenv(Variable) != "1" {
		return nil
	}
	os.Unsetenv(Variable) // grandchildren are not on it,
	syscall.CloseOnExec(ordersFD)
	syscall.CloseOnExec(reportsFD) // nor do they keep it from ending
	return &Child{orders: os.NewFile(ordersFD, "orders"), reports: json.NewEncoder(os.NewFile(reportsFD, "reports"))}
}

// Follow calls f with each order. It returns when the supervisor is gone.
func (c *Child) Follow(f func(Order)) {
	sc := bufio.NewScanner(c.orders)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var o Order
		if json.Unmarshal(sc.Bytes(), &o) == nil {
			f(o)
		}
	}
}

// Report tells the supervisor. A nil Child tells nobody.
func (c *Child) Report(r Report) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports.Encode(r) // a supervisor that is gone is noticed by Follow
}

// A Parent is the upper end, of one child.
type Parent struct {
	mu      sync.Mutex // guards what follows
	orders  *os.File
	torn    bool // the last order was written in part
	reports *os.File
	lower   []*os.File
}

// New returns a leash. Its Files go to the child.
func New() (*Parent, error) {
	or, ow, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a leash: %w", err)
	}
	rr, rw, err := os.Pipe()
	if err != nil {
		or.Close()
		ow.Close()
		return nil, fmt.Errorf("make a leash: %w", err)
	}
	return &Parent{orders: ow, reports: rr, lower: []*os.File{or, rw}}, nil
}

// Files returns what becomes the child's descriptors 3 and 4.
func (p *Parent) Files() []*os.File { return p.lower }

// Started closes the child's ends here; call it once the child has them, or
// could not be started.
func (p *Parent) Started() {
	for _, f := range p.lower {
		f.Close()
	}
}

// Order tells the child. It does not block for long: orders are small.
func (p *Parent) Order(o Order) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if p.torn {
		b = append([]byte("\n"), b...)
	}
	p.orders.SetWriteDeadline(time.Now().Add(time.Second)) // a stopped child reads nothing
	n, err := p.orders.Write(b)
	p.torn = err != nil && (n > 0 || p.torn)
	return err
}

// Reports calls f with each report until the child is gone, and releases what
// the leash holds.
func (p *Parent) Reports(f func(Report)) {
	dec := json.NewDecoder(p.reports)
	for {
		var r Report
		if dec.Decode(&r) != nil {
			break
		}
		f(r)
	}
	p.reports.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders.Close()
}
