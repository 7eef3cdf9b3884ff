//go:build linux && (amd64 || arm64)

package loop

import (
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A loop is an epoll descriptor and who waits for what is registered there. One
// goroutine at a time, its worker, waits for events and resumes fibers. A worker
// that a fiber holds up is replaced: it resumes no other.
type loop struct {
	group *Group
	epoll int
	event int   // an eventfd that ends the worker's wait
	ring  *ring // nil: everybody sends for themselves

	cur  atomic.Pointer[fiber] // that the worker runs; nil: it runs none
	seq  atomic.Uint64         // counts resumptions
	by   atomic.Uintptr        // the worker's goroutine
	seen uint64                // at the watchdog's last look; of the watchdog alone

	events [128]unix.EpollEvent // of the worker alone, as is what follows
	ceded  time.Duration        // when it let the goroutines go first, since began

	mu      sync.Mutex // guards what follows; taken after all other locks
	worker  *worker
	ready   queue
	sends   queue    // who has taken, and sends before the worker waits again
	stalled []*fiber // run by workers that were replaced
	conns   []slot
	free    []int32
	asleep  bool // the worker waits for events and must be woken
	ending  bool
}

// A slot is where events find their Conn. Its number's use is counted, so that
// no event of an earlier Conn is taken for one of a later.
type slot struct {
	conn *Conn
	use  int32
}

// A worker is a goroutine that runs a loop.
type worker struct {
	loop     *loop
	replaced bool // guarded by loop.mu
}

// A fiber is a coroutine that a loop resumes.
type fiber struct {
	loop  *loop
	task  *Task
	next  func() (struct{}, bool)
	yield func(struct{}) bool
	g     atomic.Uintptr // its goroutine, while it has one

	duty  duty // what is done in its place; of who runs it
	woken bool // while it ran; guarded by loop.mu, as is what follows
	again bool // it yields in favour of others, and waits for nothing
	idle  bool // it is neither run nor queued
}

// own is where the loop's own event stands among the slots.
const own = 0

func newLoop(g *Group) (*loop, error) {
	l := &loop{group: g, epoll: -1, event: -1, conns: make([]slot, 1)}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		// By its edges, so that nobody has to read it.
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.event, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: own})
	}
	if err != nil {
		unix.Close(l.epoll)
		unix.Close(l.event)
		return nil, err
	}
	if g.rings {
		l.ring = newRing()
	}
	l.worker = &worker{loop: l}
	g.all.Go(l.worker.run)
	return l, nil
}

// end lets the worker return.
func (l *loop) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
	for _, s := range l.conns {
		if s.conn != nil {
			s.conn.in.wake(l)
			s.conn.out.wake(l)
		}
	}
	l.rouse()
}

// rouse ends the worker's wait. The caller holds mu.
func (l *loop) rouse() {
	if l.asleep {
		l.asleep = false
		one := [8]byte{0: 1}
		unix.Write(l.event, one[:])
	}
}

// start makes a fiber of f.
func (l *loop) start(t *Task, f func()) {
	b := &fiber{loop: l, task: t}
	b.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		b.yield = yield
		b.g.Store(getg())
		defer b.g.Store(0) // others may get the goroutine
		f()
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.push(b)
}

// push lets a fiber run. The caller holds mu.
func (l *loop) push(f *fiber) {
	f.idle = false
	l.ready.put(f)
	l.rouse()
}

// wake lets a fiber go on that waits, or is about to. The caller holds mu.
func (f *fiber) wake() {
	if f.idle {
		f.loop.push(f)
	} else {
		f.woken = true
	}
}

// current returns the fiber of l that calls, or nil.
func (l *loop) current() *fiber {
	me := getg()
	if f := l.cur.Load(); f != nil && f.g.Load() == me {
		return f
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.stalled {
		if f.g.Load() == me {
			return f
		}
	}
	return nil
}

// handOff lets another worker go on, while the one of now is inside f. The
// caller holds mu.
func (l *loop) handOff(f *fiber) {
	l.worker.replaced = true
	l.stalled = append(l.stalled, f)
	l.cur.Store(nil)
	l.worker = &worker{loop: l}
	l.group.all.Go(l.worker.run)
}

// run resumes who is ready, and waits for events where nobody is, until the
// worker is replaced or the loop ends.
func (w *worker) run() {
	l := w.loop
	l.mu.Lock()
	l.by.Store(getg())
	owns := l.ring != nil
	if owns {
		l.ring.own() // a worker that was replaced may have left something there
	}
	for left := 0; ; left-- {
		next := &l.ready
		for left <= 0 || l.ready.n == 0 {
			if l.sends.n > 0 {
				next, left = &l.sends, 1
				break
			}
			l.cur.Store(nil)
			if owns {
				l.mu.Unlock()
				l.ring.flush()
				l.mu.Lock()
				owns = false
				continue
			}
			if l.ending {
				l.mu.Unlock()
				return
			}
			l.poll()
			left = l.ready.n
		}
		f := next.get()
		f.woken = f.woken && f.duty.took
		l.seq.Add(1)
		l.cur.Store(f)
		l.mu.Unlock()
		if l.group.asleep.Load() {
			l.group.wake()
		}
		if next == &l.sends && !owns && l.ring != nil {
			l.ring.own()
			owns = true
		}
		done, more := f.duty.conn != nil && f.duty.do(), true
		if !done {
			if owns { // the fiber may go on with a Conn of what was added
				l.ring.flush()
				owns = false
			}
			_, more = f.next()
		}
		l.mu.Lock()
		if w.took(f, done, more); w.replaced {
			l.mu.Unlock()
			return
		}
	}
}

// took notes that a fiber waits, or has returned, or that a part of its duty is
// done. Not before may anybody resume it again. The caller holds mu.
func (w *worker) took(f *fiber, done, more bool) {
	l := w.loop
	if w.replaced {
		l.stalled = slices.DeleteFunc(l.stalled, func(s *fiber) bool { return s == f })
	}
	switch {
	case !more:
		f.task.ended = true
		for _, w := range f.task.waits {
			w.wake()
		}
		close(f.task.done)
	case done && f.duty.took:
		l.sends.put(f)
		l.rouse() // the worker that replaced this one may wait
	case f.woken, f.again, done && !f.duty.conn.waitLocked(&f.duty.conn.in, waiter{fiber: f}):
		f.again = false
		l.push(f)
	default:
		f.idle = true
	}
}

// polite is for how long the worker goes on before it lets the goroutines go first
// that stand in line for its processor. While it waits others run them. It is less
// than what Go's runtime lets a goroutine run: from one that has run for longer it
// takes the processor at each of its waits, and looks every 20 µs whether it can.
const polite = 5 * time.Millisecond

var began = time.Now()

// poll takes the events that are there, and waits for some where nobody is ready.
// The caller holds mu, which poll gives up meanwhile.
func (l *loop) poll() {
	n := 0
	if l.ready.n > 0 {
		l.mu.Unlock()
		n = l.peek()
		l.mu.Lock()
	} else {
		l.asleep = true
		l.mu.Unlock()
		if now := time.Since(began); now-l.ceded > polite {
			l.ceded = now
			runtime.Gosched()
		}
		n = l.wait()
		l.mu.Lock()
		l.asleep = false
	}
	for i := range l.events[:n] {
		l.take(&l.events[i])
	}
}

// peek returns how many events there are now.
func (l *loop) peek() int {
	n, _, err := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events)), uintptr(len(l.events)), 0, 0, 0)
	return counted(n, err)
}

// wait returns how many there are once there are some.
func (l *loop) wait() int {
	n, _, err := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events)), uintptr(len(l.events)), ^uintptr(0), 0, 0)
	return counted(n, err)
}

func counted(n uintptr, err syscall.Errno) int {
	if err != 0 { // EINTR; all else is a bug
		if err != unix.EINTR {
			panic("loop: wait for events: " + err.Error())
		}
		return 0
	}
	return int(n)
}

// take notes an event. The caller holds mu.
func (l *loop) take(e *unix.EpollEvent) {
	s := l.conns[e.Fd]
	if s.conn == nil || s.use != e.Pad {
		return
	}
	over := e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if over {
		s.conn.over.Store(true)
	}
	if over || e.Events&unix.EPOLLIN != 0 {
		s.conn.in.ready.Store(true)
		s.conn.in.wake(l)
	}
	if over || e.Events&unix.EPOLLOUT != 0 {
		l.watchRoom(s.conn, false)
		s.conn.out.ready.Store(true)
		s.conn.out.wake(l)
	}
}

// events are those that a Conn is registered for always. Room to write is not one:
// of a Unix socket it is told each time that the other end reads.
const events = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// watchRoom says whether somebody waits for room to write. What has come since it
// was looked for last is told, too. The caller holds mu.
func (l *loop) watchRoom(c *Conn, on bool) {
	if c.room == on || l.ending {
		return
	}
	e := unix.EpollEvent{Events: events, Fd: c.at, Pad: l.conns[c.at].use}
	if on {
		e.Events |= unix.EPOLLOUT
	}
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &e)
	c.room = on
}

// add registers a Conn.
func (l *loop) add(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return unix.EBADF
	}
	at := int32(len(l.conns))
	if n := len(l.free); n > 0 {
		at, l.free = l.free[n-1], l.free[:n-1]
	} else {
		l.conns = append(l.conns, slot{})
	}
	s := &l.conns[at]
	s.use++
	s.conn = c
	c.at = at
	c.loop.Store(l)
	c.in.ready.Store(true) // until a try says otherwise
	c.out.ready.Store(true)
	c.room = false
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: events, Fd: at, Pad: s.use})
	if err != nil {
		l.dropLocked(c)
	}
	return err
}

// dropLocked forgets a Conn.
func (l *loop) dropLocked(c *Conn) {
	l.conns[c.at].conn = nil
	l.free = append(l.free, c.at)
}

// A queue is a ring of fibers, whose size is a power of two.
type queue struct {
	ring []*fiber
	head int
	n    int
}

func (q *queue) put(f *fiber) {
	if q.n == len(q.ring) {
		grown := make([]*fiber, max(16, 2*q.n))
		for i := range q.n {
			grown[i] = q.ring[(q.head+i)%q.n]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = f
	q.n++
}

func (q *queue) get() *fiber {
	f := q.ring[q.head]
	q.ring[q.head] = nil
	q.head, q.n = (q.head+1)&(len(q.ring)-1), q.n-1
	return f
}
