//go:build linux && (amd64 || arm64)

package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// attendant echoes what comes on c, and counts what is done in the fiber's place.
// Each message that begins with a capital is left to the fiber.
type attendant struct {
	c          *Conn
	buf        [64]byte
	out        []byte
	left       bool
	err        error
	took, sent int
	during     func() // called by take
}

func (a *attendant) take() bool {
	n, err := a.c.ReadNow(a.buf[:])
	if err != nil {
		if err == ErrNothing {
			return true
		}
		a.err = err
		return false
	}
	if a.during != nil {
		a.during()
	}
	a.took++
	a.out = append(a.out, a.buf[:n]...)
	a.left = a.buf[0] >= 'A' && a.buf[0] <= 'Z'
	return !a.left
}

func (a *attendant) send() bool {
	a.sent++
	_, a.err = a.c.Write(a.out)
	a.out = a.out[:0]
	return a.err == nil
}

// run is the fiber.
func (a *attendant) run() (own int) {
	for a.err == nil {
		if Attend(a.c, a.take, a.send); a.left {
			own++
			a.left = false
			a.send()
		}
	}
	return own
}

func TestTheLoopDoesWhatIsAttended(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			g := group(t, 1)
			a, c := adopted(t, g, network)
			at := &attendant{c: c}
			own := 0
			task := g.Go(c, func() { own = at.run() })
			for range 100 {
				for _, message := range []string{"small", "Capital", "small again"} {
					if err := ask(a, []byte(message)); err != nil {
						t.Fatal(err)
					}
				}
			}
			a.Close()
			task.Wait()
			if own != 100 || at.took != 300 || at.err != io.EOF {
				t.Errorf("of %d messages the fiber was left %d, want 100 of 300; it ended with %v", at.took, own, at.err)
			}
		})
	}
}

// TestAllTakeBeforeAnybodySends has messages wait for all fibers of a loop.
func TestAllTakeBeforeAnybodySends(t *testing.T) {
	const n = 20
	g := group(t, 1)
	var order []string
	var clients []net.Conn
	var tasks []*Task
	var holder *Conn
	for range n {
		a, c := adopted(t, g, "unix")
		at := &attendant{c: c}
		clients, holder = append(clients, a), c
		tasks = append(tasks, g.Go(c, func() {
			for at.err == nil {
				Attend(c, func() bool { order = append(order, "take"); return at.take() }, func() bool { order = append(order, "send"); return at.send() })
			}
		}))
		if err := ask(a, []byte("warm")); err != nil { // it attends now, or is about to
			t.Fatal(err)
		}
	}
	g.Go(holder, func() { // holds the loop up until all have something to read
		for _, a := range clients {
			a.Write([]byte("hello"))
		}
		order = nil
	}).Wait()
	for _, a := range clients {
		io.ReadFull(a, make([]byte, 5))
		a.Close()
	}
	for _, task := range tasks {
		task.Wait()
	}
	first := slices.Index(order, "send")
	if taken := slices.Index(order[:2*n], "send"); first != taken || first < n/2 {
		t.Errorf("%d had taken when the first one sent", first)
	}
}

// What is done in a fiber's place may wait as well.
func TestADutyThatWaitsHoldsNobodyUp(t *testing.T) {
	busyFiber(func(g *Group, d *Conn, ready, release chan struct{}, slow bool) {
		var once sync.Once
		waits := &attendant{c: d, during: func() {
			once.Do(func() {
				if slow {
					g.Slow()
				}
				close(ready)
				<-release
			})
		}}
		waits.run()
	}).holdsNobodyUp(t)
}

func TestADutyEndsWithItsConn(t *testing.T) {
	cases := map[string]struct {
		then func(a net.Conn, c *Conn)
		want error
	}{
		"a deadline": {func(_ net.Conn, c *Conn) { c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		"closed":     {func(_ net.Conn, c *Conn) { c.Close() }, net.ErrClosed},
		"the end":    {func(a net.Conn, _ *Conn) { a.Close() }, io.EOF},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := group(t, 1)
			a, c := adopted(t, g, "tcp")
			at := &attendant{c: c}
			task := g.Go(c, func() { at.run() })
			if err := ask(a, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			tc.then(a, c)
			task.Wait()
			if !errors.Is(at.err, tc.want) {
				t.Errorf("it ended with %v, want %v", at.err, tc.want)
			}
		})
	}
}

func TestAPanicInAFibersPlaceIsTheFibers(t *testing.T) {
	g := group(t, 1)
	a, c := adopted(t, g, "unix")
	n := 0
	at := &attendant{c: c, during: func() {
		if n++; n == 3 {
			panic("oops")
		}
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			p, ok := recover().(*Panic)
			if !ok || p.Value != "oops" || !bytes.Contains(p.Stack, []byte("TestAPanicInAFibersPlace")) {
				t.Errorf("recovered %v", p)
			}
		}()
		g.Do(c, func() { at.run() })
	}()
	ask(a, []byte("one"))
	ask(a, []byte("two"))
	a.Write([]byte("three"))
	<-done
	g.Do(c, func() {}) // the loop goes on
}

func TestADutyCostsNoAllocation(t *testing.T) {
	g := group(t, 1)
	a, c := adopted(t, g, "unix")
	at := &attendant{c: c}
	task := g.Go(c, func() { at.run() })
	message, answer := []byte("are you there?"), make([]byte, 14)
	if n := testing.AllocsPerRun(1000, func() {
		a.Write(message)
		io.ReadFull(a, answer)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	a.Close()
	task.Wait()
}

// TestBehindAnErrorThereIsTheEnd: the kernel tells an error once, and who leaves
// it to a Read that follows meets the end there. A Unix socket has one where its
// other end closed without having read all.
func TestBehindAnErrorThereIsTheEnd(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			g := group(t, 1)
			a, c := adopted(t, g, network)
			if _, err := c.Write([]byte("never read")); err != nil {
				t.Fatal(err)
			}
			if err := awaitUnread(a); err != nil {
				t.Fatal(err)
			}
			a.Close()
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			ends := 0
			g.Do(c, func() {
				for ends < 3 {
					buf := make([]byte, 8)
					if _, err := c.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
						return
					} else if err != nil {
						ends++
					}
				}
			})
			if ends < 3 {
				t.Errorf("told of the end %d times, and then nothing", ends)
			}
		})
	}
}

// awaitUnread waits until something waits to be read on conn.
func awaitUnread(conn net.Conn) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	peeked := error(nil)
	err = raw.Read(func(fd uintptr) bool {
		_, _, peeked = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		return peeked != unix.EAGAIN
	})
	return errors.Join(err, peeked)
}
