//go:build linux && (amd64 || arm64)

package loop

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is an io_uring by which a loop sends for many Conns in one system call. It
// keeps what they write, in the place of the socket's own buffer, until the worker
// has called all that send: as with a socket, a Write that has returned says nothing
// of whether the bytes arrive. Whoever wants to write to such a Conn before waits.
type ring struct {
	fd     int
	sq, cq []byte // what is shared with the kernel, as are sqes
	sqes   []byte
	params ringParams

	owner atomic.Uintptr // the worker's goroutine while it calls who send: nobody else adds anything

	mu     sync.Mutex // guards what follows, and changes of owner
	room   [batched * mostly]byte
	jobs   [batched]job
	res    [batched]int32 // what the kernel said of each
	n      int
	broken bool // the kernel refuses what it took before
}

// A job is one Conn's write. The Conn's wmu is held until it is done.
type job struct {
	conn *Conn
	b    []byte
}

const (
	batched = 64      // how many writes a ring takes before it sends them
	mostly  = 2 << 10 // the longest of them: what is longer is worth a call of its own
)

// What follows is the kernel's (io_uring(7)).
type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sqOff                                                struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
	cqOff                                                struct{ head, tail, mask, entries, overflow, cqes, flags, _, _, _ uint32 }
}

type ringEntry struct {
	op, flags byte
	ioprio    uint16
	fd        int32
	off       uint64
	addr      uint64
	len       uint32
	msgFlags  uint32
	data      uint64
	_         [3]uint64
}

type ringEvent struct {
	data  uint64
	res   int32
	flags uint32
}

const (
	opSend     = 26
	getEvents  = 1
	offSQ      = 0
	offCQ      = 0x8000000
	offEntries = 0x10000000
)

// newRing returns nil where the kernel, or a container's seccomp profile, has none:
// everybody sends for themselves then.
func newRing() *ring {
	r := &ring{}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, batched, uintptr(unsafe.Pointer(&r.params)), 0)
	if errno != 0 {
		return nil
	}
	r.fd = int(fd)
	unix.CloseOnExec(r.fd)
	p := &r.params
	size := []int{int(p.sqOff.array + 4*p.sqEntries), int(p.cqOff.cqes + 16*p.cqEntries), int(64 * p.sqEntries)}
	for i, at := range []int64{offSQ, offCQ, offEntries} {
		b, err := unix.Mmap(r.fd, at, size[i], unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			r.close()
			return nil
		}
		*[]*[]byte{&r.sq, &r.cq, &r.sqes}[i] = b
	}
	if !r.works() {
		r.close()
		return nil
	}
	return r
}

// close gives the ring back.
func (r *ring) close() {
	for _, b := range [][]byte{r.sq, r.cq, r.sqes} {
		if b != nil {
			unix.Munmap(b)
		}
	}
	unix.Close(r.fd)
}

// works sends a byte: old kernels have rings that do not send.
func (r *ring) works() bool {
	two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(two[0])
	defer unix.Close(two[1])
	r.room[0] = '?'
	r.put(0, two[0], r.room[:1])
	if r.submit(1); r.broken || r.res[0] != 1 {
		return false
	}
	b := [2]byte{}
	n, err := unix.Read(two[1], b[:])
	return err == nil && n == 1 && b[0] == '?'
}

func word(b []byte, at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[at])) }

// put enters a write. The caller holds mu.
func (r *ring) put(i, fd int, b []byte) {
	o := &r.params.sqOff
	at := (*word(r.sq, o.tail) + uint32(i)) & *word(r.sq, o.mask)
	*(*ringEntry)(unsafe.Pointer(&r.sqes[64*at])) = ringEntry{op: opSend, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&b[0]))),
		len: uint32(len(b)), msgFlags: unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT, data: uint64(i)}
	*word(r.sq, o.array+4*at) = at
}

// submit makes the first n writes that were put, and keeps what came of each. If the
// kernel refuses, those that it has not taken are as if there had been no room, and
// what came of others is not known. The caller holds mu.
func (r *ring) submit(n int) {
	for i := range n {
		r.res[i] = -int32(unix.EIO)
	}
	tail := word(r.sq, r.params.sqOff.tail)
	atomic.StoreUint32(tail, *tail+uint32(n))
	sent := 0
	for done, tries := 0, 0; done < n && !r.broken; tries++ {
		did, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n-sent), uintptr(n-done), getEvents, 0, 0)
		if errno == 0 {
			sent += int(did)
		}
		done += r.reap()
		r.broken = done < n && (errno != 0 && errno != unix.EINTR || tries == 100)
	}
	for ; sent < n; sent++ {
		r.res[sent] = -int32(unix.EAGAIN)
	}
}

// reap takes what the kernel says, and returns of how many writes.
func (r *ring) reap() (n int) {
	o := &r.params.cqOff
	head := word(r.cq, o.head)
	for at := *head; at != atomic.LoadUint32(word(r.cq, o.tail)); at++ {
		e := (*ringEvent)(unsafe.Pointer(&r.cq[o.cqes+16*(at&*word(r.cq, o.mask))]))
		r.res[e.data] = e.res
		atomic.StoreUint32(head, at+1)
		n++
	}
	return n
}

// add takes a write, and reports whether it has: the caller sends it otherwise. The
// caller holds c.wmu, which is unlocked once it is sent if add reports true.
func (r *ring) add(c *Conn, b []byte) bool {
	me := getg()
	if r.owner.Load() != me || len(b) > mostly || len(b) == 0 || c.may(&c.out) != nil || !c.out.ready.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owner.Load() != me || r.broken || !c.enter() {
		return false
	}
	if r.n == batched {
		r.flushLocked()
	}
	written(c.fd)
	room := r.room[r.n*mostly:][:len(b)]
	copy(room, b)
	r.jobs[r.n] = job{c, room}
	r.put(r.n, c.fd, room)
	r.n++
	return true
}

// own says that a worker calls who send from now on.
func (r *ring) own() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owner.Store(getg())
}

// flush sends what was added. The worker calls nobody who sends any more.
func (r *ring) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushLocked()
	r.owner.Store(0)
}

// lock locks c.wmu. What the caller itself has added to the ring is sent before.
func (r *ring) lock(c *Conn) {
	if c.wmu.TryLock() {
		return
	}
	if r.owner.Load() == getg() {
		r.mu.Lock()
		r.flushLocked()
		r.mu.Unlock()
		if c.wmu.TryLock() {
			return
		}
		c.loop.Load().group.Slow() // most likely there was no room
	}
	c.wmu.Lock()
}

func (r *ring) flushLocked() {
	if r.n == 0 {
		return
	}
	r.submit(r.n)
	for i := range r.jobs[:r.n] {
		r.jobs[i].done(r.res[i])
		r.jobs[i] = job{}
	}
	r.n = 0
}

// done is called with what was sent of a job, or with an error's number below zero.
func (j *job) done(res int32) {
	c := j.conn
	defer c.leave()
	switch rest := j.b[max(res, 0):]; {
	case len(rest) == 0:
		c.wmu.Unlock()
	case res >= 0, res == -int32(unix.EAGAIN), res == -int32(unix.EINTR):
		go c.finish(slices.Clone(rest)) // there was no room, which is rare; it waits for it
	default:
		c.sever()
		c.wmu.Unlock()
	}
}

// finish writes the rest of what a ring was given, and unlocks wmu, which it is
// called with.
func (c *Conn) finish(b []byte) {
	defer c.wmu.Unlock()
	if _, err := c.write(b); err != nil {
		c.sever()
	}
}

// sever ends a Conn of which a part of a Write that has returned could not be sent:
// nothing is written behind a gap, and who reads learns of it.
func (c *Conn) sever() {
	if c.enter() {
		defer c.leave()
		unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
}
