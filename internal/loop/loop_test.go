//go:build linux && (amd64 || arm64)

package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// group returns a Group that ends with the test.
func group(t testing.TB, n int) *Group {
	g := New(n)
	t.Cleanup(g.Close)
	return g
}

// pair returns both ends of a connection.
func pair(t testing.TB, network string) (a, b net.Conn) {
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial(network, l.Addr().String()); err == nil {
		b, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// adopted is pair with the second end on a loop.
func adopted(t testing.TB, g *Group, network string) (net.Conn, *Conn) {
	a, b := pair(t, network)
	c, ok := g.Adopt(b, nil).(*Conn)
	if !ok {
		t.Fatal("the connection was not adopted")
	}
	t.Cleanup(func() { c.Close() })
	return a, c
}

var networks = []string{"unix", "tcp"}

// echo answers until its end.
func echo(c net.Conn) {
	for buf := make([]byte, 4096); ; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// ask sends a message and waits for its echo.
func ask(c net.Conn, message []byte) error {
	if _, err := c.Write(message); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, message) {
		return fmt.Errorf("got %q for %q", got, message)
	}
	return nil
}

func TestManyFibersAnswerManyMessages(t *testing.T) {
	for _, network := range networks {
		for _, loops := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d", network, loops), func(t *testing.T) {
				g := group(t, loops)
				var all sync.WaitGroup
				var tasks []*Task
				for i := range 200 {
					a, c := adopted(t, g, network)
					tasks = append(tasks, g.Go(c, func() { echo(c) }))
					all.Go(func() {
						defer a.Close()
						for j := range 100 {
							if err := ask(a, fmt.Appendf(nil, "%d of %d", j, i)); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				for _, task := range tasks {
					task.Wait()
				}
			})
		}
	}
}

// ways are who may use a Conn: a fiber of its loop, one of another loop, and a
// goroutine.
var ways = []struct {
	name string
	run  func(g *Group, c net.Conn, other net.Conn, f func())
}{
	{"fiber", func(g *Group, c, _ net.Conn, f func()) { g.Do(c, f) }},
	{"fiber elsewhere", func(g *Group, _, other net.Conn, f func()) { g.Do(other, f) }},
	{"goroutine", func(_ *Group, _, _ net.Conn, f func()) { f() }},
}

func TestDeadlinesAndEnds(t *testing.T) {
	past := time.Unix(1, 0)
	cases := []struct {
		name string
		then func(c *Conn) // after the read or write has begun
		want error
	}{
		{"a deadline that is past", func(c *Conn) { c.SetDeadline(past) }, os.ErrDeadlineExceeded},
		{"a deadline soon", func(c *Conn) { c.SetDeadline(time.Now().Add(5 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"a deadline that is moved", func(c *Conn) {
			c.SetDeadline(time.Now().Add(time.Hour))
			c.SetDeadline(time.Now().Add(5 * time.Millisecond))
		}, os.ErrDeadlineExceeded},
		{"closed", func(c *Conn) { c.Close() }, net.ErrClosed},
	}
	for _, way := range ways {
		for _, tc := range cases {
			for _, op := range []string{"read", "write"} {
				t.Run(way.name+", "+tc.name+", "+op, func(t *testing.T) {
					g := group(t, 2)
					_, c := adopted(t, g, "unix")
					_, other := adopted(t, g, "unix")
					began := make(chan struct{})
					go func() { <-began; tc.then(c) }()
					way.run(g, c, other, func() {
						if err := forever(c, op, began); !errors.Is(err, tc.want) {
							t.Errorf("%s ended with %v, want %v", op, err, tc.want)
						}
					})
				})
			}
		}
	}
}

// forever reads or writes until it fails.
func forever(c net.Conn, op string, began chan struct{}) error {
	close(began)
	buf := make([]byte, 64<<10)
	for {
		if _, err := map[string]func([]byte) (int, error){"read": c.Read, "write": c.Write}[op](buf); err != nil {
			return err
		}
	}
}

func TestADeadlineIsTakenBack(t *testing.T) {
	g := group(t, 1)
	a, c := adopted(t, g, "tcp")
	g.Do(c, func() {
		c.SetReadDeadline(time.Unix(1, 0))
		a.Write([]byte("early"))
		if _, err := c.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read after its deadline: %v", err)
		}
		c.SetReadDeadline(time.Time{})
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Errorf("a read without a deadline: %v", err)
		}
	})
	if c.Close() != nil || c.Close() == nil || c.SetDeadline(time.Time{}) == nil {
		t.Error("a Conn is closed once")
	}
}

// A busyFiber is told to do work with the loop's second connection, which waits for
// something that is no Conn until release, and then echoes.
type busyFiber func(g *Group, d *Conn, ready, release chan struct{}, slow bool)

// holdsNobodyUp has a fiber wait, for as long as another one's messages take.
func (waits busyFiber) holdsNobodyUp(t *testing.T) {
	answered := func(tick time.Duration, slow bool, wait time.Duration) error {
		g := New(1)
		g.tick = tick
		defer g.Close()
		a, c := adopted(t, g, "unix")
		b, d := adopted(t, g, "unix")
		ready, release := make(chan struct{}), make(chan struct{})
		tasks := []*Task{g.Go(c, func() { echo(c) }), g.Go(d, func() { waits(g, d, ready, release, slow) })}
		var err error
		for began := time.Now(); err == nil && time.Since(began) < 3*calm*tick; { // the watchdog has seen that all goes well
			err = ask(a, []byte("are you there?"))
		}
		b.Write([]byte("wait"))
		<-ready
		a.SetDeadline(time.Now().Add(wait))
		for i := 0; i < 1000 && err == nil; i++ {
			err = ask(a, []byte("are you there?"))
		}
		close(release)
		b.SetDeadline(time.Now().Add(10 * time.Second))
		_, failed := io.ReadFull(b, make([]byte, 4)) // back on the loop
		err = errors.Join(err, failed, ask(b, []byte("and you?")))
		a.Close()
		b.Close()
		for _, task := range tasks {
			task.Wait()
		}
		return err
	}
	if err := answered(patrol, false, 20*time.Second); err != nil {
		t.Errorf("with the watchdog: %v", err)
	}
	if err := answered(0, true, 20*time.Second); err != nil {
		t.Errorf("one that says so, without the watchdog: %v", err)
	}
	// Control: neither.
	if err := answered(0, false, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the control: %v, want a time-out", err)
	}
}

func TestAFiberThatWaitsHoldsNobodyUp(t *testing.T) {
	busyFiber(func(g *Group, d *Conn, ready, release chan struct{}, slow bool) {
		if slow {
			g.Slow()
		}
		close(ready)
		<-release
		echo(d)
	}).holdsNobodyUp(t)
}

func TestASlowReaderGetsAll(t *testing.T) {
	for _, network := range networks {
		for _, way := range ways {
			t.Run(network+", "+way.name, func(t *testing.T) {
				g := group(t, 2)
				a, c := adopted(t, g, network)
				_, other := adopted(t, g, network)
				sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
				got := make(chan []byte, 1)
				go func() {
					var all bytes.Buffer
					for small := make([]byte, 7000); ; runtime.Gosched() {
						n, err := a.Read(small)
						if all.Write(small[:n]); err != nil {
							got <- all.Bytes()
							return
						}
					}
				}()
				way.run(g, c, other, func() {
					if n, err := c.Write(sent); n != len(sent) || err != nil {
						t.Errorf("wrote %d: %v", n, err)
					}
					if err := c.CloseWrite(); err != nil {
						t.Error(err)
					}
				})
				if !bytes.Equal(<-got, sent) {
					t.Error("something else came")
				}
			})
		}
	}
}

// TestWhatWasSentBeforeTheEndIsRead is about the end of the other side that
// comes with data, before it, between reads and after all.
func TestWhatWasSentBeforeTheEndIsRead(t *testing.T) {
	for _, network := range networks {
		for _, way := range ways {
			for _, size := range []int{1, 100, 5000} {
				t.Run(fmt.Sprintf("%s, %s, %d", network, way.name, size), func(t *testing.T) {
					g := group(t, 2)
					_, other := adopted(t, g, network)
					for i := range 100 {
						a, c := adopted(t, g, network)
						go func() {
							a.Write(make([]byte, 100))
							if i%2 == 0 {
								runtime.Gosched()
							}
							a.Write(make([]byte, i))
							a.Close()
						}()
						way.run(g, c, other, func() {
							n := 0
							for buf := make([]byte, size); ; {
								m, err := c.Read(buf)
								if n += m; err != nil {
									if err != io.EOF || n != 100+i {
										t.Errorf("%d bytes and %v", n, err)
									}
									return
								}
							}
						})
						c.Close()
					}
				})
			}
		}
	}
}

// TestAFloodHoldsNobodyUp has one fiber that always finds something to read.
func TestAFloodHoldsNobodyUp(t *testing.T) {
	g := New(1)
	g.tick = 0 // nobody else helps
	defer g.Close()
	a, c := adopted(t, g, "unix")
	b, d := adopted(t, g, "unix")
	flood := g.Go(c, func() {
		for small := make([]byte, 64); ; {
			if _, err := c.Read(small); err != nil {
				return
			}
		}
	})
	quiet := g.Go(d, func() { echo(d) })
	go func() {
		for lots := make([]byte, 64<<10); ; {
			if _, err := a.Write(lots); err != nil {
				return
			}
		}
	}()
	b.SetDeadline(time.Now().Add(20 * time.Second))
	for range 200 {
		if err := ask(b, []byte("are you there?")); err != nil {
			t.Error(err)
			break
		}
	}
	a.Close()
	b.Close()
	flood.Wait()
	quiet.Wait()
}

// TestRandomSchedules has fibers that do whatever fibers do, at random, while
// others close what they wait for, interrupt them and move their connections: no
// byte is lost, no fiber is forgotten.
func TestRandomSchedules(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { schedule(t, seed) })
	}
}

func schedule(t *testing.T, seed uint64) {
	g := New(2)
	g.rings = seed%4 > 0
	g.tick = time.Duration(seed%3) * patrol / 4
	if g.tick == 0 {
		g.tick = patrol
	}
	defer g.Close()
	var all sync.WaitGroup
	var lock sync.Mutex // that fibers wait for, and hold while they wait
	var answered atomic.Int64
	for i := range 40 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		a, c := adopted(t, g, networks[i%2])
		var task *Task
		serve := func() {
			buf := make([]byte, 1+r.IntN(64))
			var got []byte
			var failed error
			take := func() bool {
				m, err := c.ReadNow(buf)
				if err == ErrNothing {
					return true
				}
				got, failed = append(got, buf[:m]...), err
				trouble(g, c, r, &lock)
				return err == nil && r.IntN(10) > 0
			}
			send := func() bool {
				err := c.writeAll(got)
				got = got[:0]
				return err == nil && r.IntN(10) > 0
			}
			for n := 0; ; n++ {
				if i%2 == 0 && failed == nil {
					if Attend(c, take, send); len(got) > 0 && !send() && c.shut.Load() {
						return
					}
				}
				failed = nil
				m, err := c.Read(buf)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					c.SetReadDeadline(time.Time{})
					continue
				}
				if err != nil {
					return
				}
				if trouble(g, c, r, &lock); c.writeAll(buf[:m]) != nil {
					return
				}
			}
		}
		task = g.Go(c, serve)
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(1000+i)))
			for range 50 {
				if r.IntN(8) == 0 {
					c.SetReadDeadline(time.Unix(1, 0))
				}
				if err := ask(a, bytes.Repeat([]byte{byte(i)}, 1+r.IntN(300))); err != nil {
					t.Error(err)
					break
				}
				answered.Add(1)
			}
			if r.IntN(2) == 0 {
				c.Close()
			}
			a.Close()
			task.Wait()
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		buf := make([]byte, 1<<20)
		t.Fatalf("seed %d: %d answers\n%s", seed, answered.Load(), buf[:runtime.Stack(buf, true)])
	}
	if n := answered.Load(); n != 40*50 {
		t.Errorf("seed %d: %d answers", seed, n)
	}
}

func (c *Conn) writeAll(b []byte) error { _, err := c.Write(b); return err }

// trouble does something that fibers should do rarely.
func trouble(g *Group, c *Conn, r *rand.Rand, lock *sync.Mutex) {
	switch r.IntN(300) {
	case 0:
		g.Slow()
	case 1:
		g.Slow()
		time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
	case 2:
		lock.Lock()
		time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
		lock.Unlock()
	case 3:
		lock.Lock()
		g.Go(c, func() { runtime.Gosched() }).Wait() // a fiber that waits for another, with a lock
		lock.Unlock()
	case 4:
		for end := time.Now().Add(time.Duration(r.IntN(5)) * time.Millisecond); time.Now().Before(end); {
		}
	case 5:
		runtime.GC()
	}
}

func TestAPanicIsTheCallers(t *testing.T) {
	g := group(t, 1)
	_, c := adopted(t, g, "unix")
	defer func() {
		p, ok := recover().(*Panic)
		if !ok || p.Value != "oops" || !bytes.Contains(p.Stack, []byte("TestAPanicIsTheCallers")) {
			t.Errorf("recovered %v", p)
		}
		g.Do(c, func() {}) // the loop goes on
	}()
	g.Do(c, func() { panic("oops") })
}

func TestAConnMovesToAnotherLoop(t *testing.T) {
	g := group(t, 2)
	a, c := adopted(t, g, "unix")
	b, other := adopted(t, g, "unix")
	for range 20 {
		for _, beside := range []*Conn{other, c} {
			g.Adopt(c, beside)
			if c.loop.Load() != beside.loop.Load() {
				t.Fatal("it did not move")
			}
			go ask(a, []byte("hello"))
			g.Do(beside, func() {
				if n, err := c.Read(make([]byte, 9)); n != 5 || err != nil {
					t.Error(n, err)
				}
				c.Write([]byte("hello"))
			})
		}
		c.move(g.loops[0])
	}
	b.Close()
}

// TestAMessageCostsNoAllocation counts those of all that takes part.
func TestAMessageCostsNoAllocation(t *testing.T) {
	g := group(t, 1)
	a, c := adopted(t, g, "unix")
	task := g.Go(c, func() { echo(c) })
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

func TestNothingRunsOnceClosed(t *testing.T) {
	before := runtime.NumGoroutine()
	g := New(2)
	a, c := adopted(t, g, "unix")
	read := make(chan error)
	go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
	g.Do(c, func() {})
	g.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read on a loop that ended: %v", err)
	}
	for i := 0; runtime.NumGoroutine() > before && i < 1000; i++ {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	_, b := pair(t, "unix")
	if g.Adopt(b, nil) != b {
		t.Error("it was adopted by a loop that ended")
	}
	a.Close()
}

func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{0, 1} {
		b.Run(map[int]string{0: "goroutine", 1: "fiber"}[n], func(b *testing.B) {
			g := group(b, 1)
			a, c := pair(b, "unix")
			if n == 1 {
				c = g.Adopt(c, nil)
			}
			task := g.Go(c, func() { echo(c) })
			message, answer := []byte("are you there?"), make([]byte, 14)
			for b.Loop() {
				a.Write(message)
				io.ReadFull(a, answer)
			}
			a.Close()
			task.Wait()
		})
	}
}
