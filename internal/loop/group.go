//go:build linux && (amd64 || arm64)

package loop

import (
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Group is some loops, over which connections are shared out. They begin with
// the first connection. A nil Group has none: it leaves connections as they are,
// and its fibers are goroutines.
type Group struct {
	size  int
	begin sync.Once
	begun atomic.Bool
	loops []*loop // set once begun
	turn  atomic.Uint32

	rings  bool          // loops send by rings where there are some
	tick   time.Duration // of the watchdog; 0 in a negative control: there is none
	asleep atomic.Bool   // the watchdog is
	kick   chan struct{} // wakes it
	stop   chan struct{}
	all    sync.WaitGroup // the watchdog, and those who run loops
}

// patrol is how long after it woke, or saw a fiber hold its loop up, the watchdog
// looks whether one does, while there is work. It is seen at the second look. While
// all goes well it looks ever less often, down to a calm-th: each look wakes a thread.
const (
	patrol = 2 * time.Millisecond
	calm   = 4
)

// New returns a Group of n loops. Close ends it.
func New(n int) *Group {
	return &Group{size: n, rings: true, tick: patrol, kick: make(chan struct{}, 1), stop: make(chan struct{})}
}

// running returns the loops, which it begins if nobody has.
func (g *Group) running() []*loop {
	g.begin.Do(func() {
		for range g.size {
			l, err := newLoop(g)
			if err != nil { // too many open files: the connections stay with Go's poller
				break
			}
			g.loops = append(g.loops, l)
		}
		if g.tick > 0 {
			g.asleep.Store(true)
			g.all.Go(g.watch)
		}
		g.begun.Store(true)
	})
	return g.loops
}

// Close ends the loops. All fibers must have returned; a Conn that is still open
// is of no use but to be closed. Nothing is adopted any more.
func (g *Group) Close() {
	if g == nil {
		return
	}
	close(g.stop)
	g.begin.Do(func() {})
	for _, l := range g.loops {
		l.end()
	}
	g.all.Wait()
	for _, l := range g.loops {
		unix.Close(l.epoll)
		unix.Close(l.event)
		if l.ring != nil {
			l.ring.close()
		}
	}
}

// Adopt takes a TCP or Unix connection out of Go's poller, onto the loop of beside,
// or if that is nil onto the next one. The caller goes on with what it returns, which
// is conn itself where it cannot be adopted. A Conn that nobody uses at the moment
// may be adopted again: it moves to the other loop.
func (g *Group) Adopt(conn, beside net.Conn) net.Conn {
	if g == nil {
		return conn
	}
	l := on(beside)
	if beside != nil && l == nil || !socket(conn) {
		return conn
	}
	if l == nil {
		all := g.running()
		if len(all) == 0 {
			return conn
		}
		l = all[int(g.turn.Add(1)-1)%len(all)]
	}
	if c, ok := conn.(*Conn); ok {
		c.move(l)
		return c
	}
	if c, err := l.adopt(conn); err == nil {
		return c
	}
	return conn
}

// Has reports whether a connection, or the one below it, is on a loop.
func Has(conn net.Conn) bool { return on(conn) != nil }

// on returns the loop of a Conn, or of the Conn below, or nil.
func on(conn net.Conn) *loop {
	for conn != nil {
		switch c := conn.(type) {
		case *Conn:
			return c.loop.Load()
		case interface{ NetConn() net.Conn }: // as crypto/tls calls what is below
			conn = c.NetConn()
		default:
			return nil
		}
	}
	return nil
}

func socket(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn, *Conn:
		return true
	}
	return false
}

// adopt takes a connection over.
func (l *loop) adopt(conn net.Conn) (*Conn, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	c := &Conn{fd: fd, local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	c.refs.Store(1)
	if err := l.add(c); err != nil {
		unix.Close(fd)
		return nil, err
	}
	conn.Close()
	return c, nil
}

// A Task is a fiber, or a goroutine in its place.
type Task struct {
	loop   *loop // nil: it is a goroutine
	done   chan struct{}
	waits  []waiter // guarded by loop.mu
	ended  bool     // guarded by loop.mu
	broken *Panic
}

// A Panic is what a fiber panicked with, in the goroutine of Do.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("%v\n%s", p.Value, p.Stack) }

// Do runs f as a fiber of conn's loop and waits for it. A panic of f's is the
// caller's, as a *Panic.
func (g *Group) Do(conn net.Conn, f func()) {
	l := on(conn)
	if g == nil || l == nil {
		f()
		return
	}
	t := &Task{loop: l, done: make(chan struct{})}
	l.start(t, func() {
		defer func() {
			switch r := recover().(type) {
			case nil:
			case *Panic: // of what was done in its place
				t.broken = r
			default:
				t.broken = &Panic{r, debug.Stack()}
			}
		}()
		f()
	})
	<-t.done
	if t.broken != nil {
		panic(t.broken)
	}
}

// Go runs f as a fiber of conn's loop. A panic of f's ends the program.
func (g *Group) Go(conn net.Conn, f func()) *Task {
	l := on(conn)
	t := &Task{loop: l, done: make(chan struct{})}
	if g == nil || l == nil {
		t.loop = nil
		go func() { defer close(t.done); f() }() // Wait waits for it
		return t
	}
	l.start(t, f)
	return t
}

// Wait waits until the task has returned. A fiber of the same loop lets others
// run meanwhile.
func (t *Task) Wait() {
	if t.loop == nil {
		<-t.done
		return
	}
	f := t.loop.current()
	if f == nil {
		t.loop.group.Slow() // it may be what is done in a fiber's place
	}
	for f != nil {
		t.loop.mu.Lock()
		if t.ended {
			t.loop.mu.Unlock()
			break
		}
		t.waits = append(t.waits, waiter{fiber: f})
		t.loop.mu.Unlock()
		f.yield(struct{}{})
	}
	<-t.done
}

// Slow says that the caller is about to wait for something that is no Conn: if it
// is a fiber, or called in its place, others are served meanwhile.
func (g *Group) Slow() {
	if g == nil || !g.begun.Load() {
		return
	}
	me := getg()
	for _, l := range g.loops {
		if f := l.cur.Load(); f != nil && (f.g.Load() == me || l.by.Load() == me) {
			l.mu.Lock()
			if l.cur.Load() == f {
				l.handOff(f)
			}
			l.mu.Unlock()
			return
		}
	}
}

// watch hands a loop over that one fiber holds up. It sleeps while nothing runs.
func (g *Group) watch() {
	tick := time.NewTimer(g.tick)
	defer tick.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-g.kick:
		}
		every := g.tick
		for idle := 0; idle < 2; {
			tick.Reset(every)
			select {
			case <-g.stop:
				return
			case <-tick.C:
			}
			busy, held := g.stir()
			if every = min(2*every, calm*g.tick); held {
				every = g.tick
			}
			if idle++; busy {
				idle = 0
			} else if idle == 2 {
				g.asleep.Store(true)
				if busy, _ := g.stir(); busy && g.asleep.CompareAndSwap(true, false) { // just then
					idle = 0
				}
			}
		}
	}
}

// stir looks at each loop, and reports whether one does something, and whether one
// was held up.
func (g *Group) stir() (busy, held bool) {
	for _, l := range g.loops {
		seq := l.seq.Load()
		f := l.cur.Load()
		busy = busy || f != nil || seq != l.seen
		if f != nil && seq == l.seen {
			l.mu.Lock()
			if l.seq.Load() == seq && l.cur.Load() == f {
				l.handOff(f)
				held = true
			}
			l.mu.Unlock()
		}
		l.seen = seq
	}
	return busy, held
}

// wake makes the watchdog look.
func (g *Group) wake() {
	if g.asleep.Load() && g.asleep.CompareAndSwap(true, false) {
		select {
		case g.kick <- struct{}{}:
		default:
		}
	}
}
