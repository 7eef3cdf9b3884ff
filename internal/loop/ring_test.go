//go:build linux && (amd64 || arm64)

package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ringed returns a Group of one loop that has a ring, and the loop.
func ringed(t *testing.T) (*Group, *loop) {
	g := group(t, 1)
	l := g.running()[0]
	if l.ring == nil {
		t.Skip("this kernel, or what it runs in, has no io_uring")
	}
	return g, l
}

// attended calls send, on the loop's stack, for each message that comes on c.
func attended(g *Group, c *Conn, send func(got []byte) bool) *Task {
	task := g.Go(c, func() {
		buf, n := make([]byte, 64), 0
		Attend(c, func() (ok bool) {
			var err error
			n, err = c.ReadNow(buf)
			return err == nil || err == ErrNothing
		}, func() bool { return n == 0 || send(buf[:n]) })
	})
	for l := c.loop.Load(); ; runtime.Gosched() {
		l.mu.Lock()
		waits := len(c.in.waits) == 1 && c.in.waits[0].fiber.idle
		l.mu.Unlock()
		if waits {
			return task
		}
	}
}

// said returns what comes at a connection's other end within a short while.
func said(a net.Conn, n int) (string, error) {
	b := make([]byte, n)
	a.SetReadDeadline(time.Now().Add(10 * time.Second))
	m, err := io.ReadFull(a, b)
	return string(b[:m]), err
}

// added returns how many writes a ring holds.
func (r *ring) added() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func TestARingSendsOnceAllHaveWritten(t *testing.T) {
	g, l := ringed(t)
	a, c := adopted(t, g, "unix")
	b, d := adopted(t, g, "tcp")
	held := -1
	task := attended(g, c, func([]byte) bool {
		c.Write([]byte("to a"))
		d.Write([]byte("to b"))
		held = l.ring.added()
		return false
	})
	a.Write([]byte("?"))
	for end, want := range map[net.Conn]string{a: "to a", b: "to b"} {
		if got, err := said(end, 4); got != want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if task.Wait(); held != 2 {
		t.Errorf("the ring held %d writes, want 2", held)
	}
}

// TestARingKeepsTheOrder has more written than a socket takes, some of it by the ring
// and some not.
func TestARingKeepsTheOrder(t *testing.T) {
	g, _ := ringed(t)
	a, c := adopted(t, g, "unix")
	var want bytes.Buffer
	task := attended(g, c, func([]byte) bool {
		for want.Len() < 4<<20 {
			n := []int{mostly, 100, mostly - 1, mostly + 1}[want.Len()%4] // the last is too long for the ring
			b := bytes.Repeat([]byte(fmt.Sprint(want.Len(), " ")), n)[:n]
			want.Write(b)
			if m, err := c.Write(b); m != n || err != nil {
				t.Error(m, err)
			}
		}
		return false
	})
	a.Write([]byte("?"))
	for c.out.ready.Load() { // nobody reads before there is no room
		runtime.Gosched()
	}
	got, err := said(a, 4<<20)
	task.Wait()
	if err != nil || got != want.String()[:4<<20] {
		t.Errorf("what came is not what was written: %v", err)
	}
	a.Close()
}

// TestARingSendsToNobodyElse closes what the ring holds a write to, and takes its number
// for another connection.
func TestARingSendsToNobodyElse(t *testing.T) {
	g, l := ringed(t)
	a, c := adopted(t, g, "unix")
	b, d := adopted(t, g, "unix")
	var others [4][2]int
	task := attended(g, d, func([]byte) bool {
		c.Write([]byte("to a"))
		if l.ring.added() == 0 {
			t.Error("the ring does not hold it")
		}
		c.Close()
		for i := range others {
			others[i], _ = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		}
		return false
	})
	b.Write([]byte("?"))
	if got, err := said(a, 4); got != "to a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	task.Wait()
	if n, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Error("it stays open: ", n, err)
	}
	for _, two := range others {
		for _, fd := range two {
			if n, err := unix.Read(fd, make([]byte, 16)); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("somebody else got %d bytes, %v", n, err)
			}
		}
		unix.Close(two[0])
		unix.Close(two[1])
	}
}

// TestARingIsFlushedByTheNextWorker has who sends wait behind a write.
func TestARingIsFlushedByTheNextWorker(t *testing.T) {
	for _, slow := range []bool{true, false} {
		t.Run(fmt.Sprint("says so: ", slow), func(t *testing.T) {
			g, _ := ringed(t)
			a, c := adopted(t, g, "unix")
			release := make(chan struct{})
			task := attended(g, c, func([]byte) bool {
				c.Write([]byte("before"))
				if slow {
					g.Slow()
				}
				<-release
				c.Write([]byte("after"))
				return false
			})
			a.Write([]byte("?"))
			if got, err := said(a, 6); got != "before" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			close(release)
			if got, err := said(a, 5); got != "after" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			task.Wait()
		})
	}
}

// TestAFiberGoesOnBehindARing has a fiber write to what the ring holds a write to.
func TestAFiberGoesOnBehindARing(t *testing.T) {
	g := New(1)
	g.tick = 0 // nobody else helps
	t.Cleanup(g.Close)
	if g.running()[0].ring == nil {
		t.Skip("this kernel, or what it runs in, has no io_uring")
	}
	a, c := adopted(t, g, "unix")
	task := g.Go(c, func() {
		waits, buf := 0, make([]byte, 64)
		Attend(c, func() bool {
			_, err := c.ReadNow(buf)
			return err == nil || err == ErrNothing
		}, func() bool {
			waits++
			c.Write([]byte("first "))
			return waits < 3
		})
		c.Write([]byte("then"))
	})
	for range 3 {
		a.Write([]byte("?"))
		if got, err := said(a, 6); got != "first " || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if got, err := said(a, 4); got != "then" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	task.Wait()
}

// TestARingThatBreaks takes its descriptor away.
func TestARingThatBreaks(t *testing.T) {
	g, l := ringed(t)
	a, c := adopted(t, g, "unix")
	var once sync.Once
	task := attended(g, c, func(b []byte) bool {
		c.Write(append([]byte("re: "), b...))
		once.Do(func() {
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { null.Close() })
			l.ring.mu.Lock()
			unix.Close(l.ring.fd)
			l.ring.fd, _ = unix.Dup(int(null.Fd()))
			l.ring.mu.Unlock()
		})
		return string(b) != "end"
	})
	for _, s := range []string{"one", "two", "end"} {
		a.Write([]byte(s))
		if got, err := said(a, 7); got != "re: "+s || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if task.Wait(); !l.ring.broken {
		t.Error("the ring did not break")
	}
}

// TestARingThatCannotSend has the other end gone: what is not sent ends the Conn.
func TestARingThatCannotSend(t *testing.T) {
	g, _ := ringed(t)
	a, c := adopted(t, g, "unix")
	b, d := adopted(t, g, "unix")
	reads := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		reads <- err
	}()
	task := attended(g, d, func([]byte) bool {
		c.Write([]byte("to nobody"))
		return false
	})
	a.(*net.UnixConn).CloseRead()
	b.Write([]byte("?"))
	select {
	case err := <-reads:
		if err == nil {
			t.Error("something came")
		}
	case <-time.After(10 * time.Second):
		t.Error("who reads does not learn of it")
	}
	task.Wait()
	if _, err := c.Write([]byte("more")); err == nil {
		t.Error("more is written behind a gap")
	}
}
