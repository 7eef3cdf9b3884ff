package delay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// pair returns both ends of a connection on a line: near is wrapped.
func pair(t *testing.T, line *Line) (near *Conn, far net.Conn) {
	a, b := net.Pipe()
	g := NewGroup(Timers{})
	near = g.Wrap(a, line)
	t.Cleanup(func() {
		b.Close()
		g.Close()
	})
	return near, b
}

// bubble runs a test in a bubble, on a connection whose round trip is 100 ms.
func bubble(t *testing.T, test func(t *testing.T, line *Line, near *Conn, far net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		line := NewLine(100*ms, 100*ms)
		near, far := pair(t, line)
		test(t, line, near, far)
	})
}

func write(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// expect reads s from c and checks how long that took.
func expect(t *testing.T, c io.Reader, s string, after time.Duration) {
	t.Helper()
	start := time.Now()
	b := make([]byte, len(s))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); string(b) != s || took != after {
		t.Errorf("read %q after %v, want %q after %v", b, took, s, after)
	}
}

func TestEachDirectionTakesHalf(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Line, near *Conn, far net.Conn) {
		write(t, near, "ping")
		expect(t, far, "ping", 50*ms)
		write(t, far, "pong")
		expect(t, near, "pong", 50*ms)
	})
}

// Without a line, the same exchange takes no time: what is measured above is
// the line.
func TestControlWithoutLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go near.Write([]byte("ping"))
		expect(t, far, "ping", 0)
	})
}

func TestWritesDoNotWaitForEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Line, near *Conn, far net.Conn) {
		write(t, near, "a")
		time.Sleep(10 * ms)
		write(t, near, "b")
		expect(t, far, "a", 40*ms)
		expect(t, far, "b", 10*ms)
	})
}

func TestCutIsSilentAndMendDelivers(t *testing.T) {
	bubble(t, func(t *testing.T, line *Line, near *Conn, far net.Conn) {
		write(t, near, "sent before")
		write(t, far, "answered before")
		line.Set(Fault{Cut: true})
		write(t, near, ", during")
		near.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := near.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d, %v across a cut", n, err)
		}
		near.SetReadDeadline(time.Time{})
		line.Set(Fault{})
		expect(t, far, "sent before, during", 50*ms)
		expect(t, near, "answered before", 0)
	})
}

// A line that is cut one way carries the other, and what was kept back comes
// when it is mended.
func TestOneWayCutSilencesOneEnd(t *testing.T) {
	for _, mute := range []bool{true, false} {
		bubble(t, func(t *testing.T, line *Line, near *Conn, far net.Conn) {
			var heard, silent net.Conn = far, near
			fault := Fault{Deaf: true}
			if mute {
				heard, silent, fault = near, far, Fault{Mute: true}
			}
			line.Set(fault)
			write(t, heard, "lost")
			write(t, silent, "kept")
			expect(t, heard, "kept", 50*ms)
			silent.SetReadDeadline(time.Now().Add(time.Minute))
			if n, err := silent.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("mute %v: read %d, %v against a cut", mute, n, err)
			}
			silent.SetReadDeadline(time.Time{})
			line.Set(Fault{})
			expect(t, silent, "lost", 50*ms)
		})
	}
}

func TestCloseAcrossCutIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, line *Line, near *Conn, far net.Conn) {
		line.Set(Fault{Cut: true})
		write(t, near, "last words")
		near.Close()
		far.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read across a cut = %v", err)
		}
		far.SetReadDeadline(time.Time{})
		line.Set(Fault{})
		expect(t, far, "last words", 50*ms)
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the last words: %v", err)
		}
	})
}

func TestSlowActsAtOnceAndKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T, line *Line, near *Conn, far net.Conn) {
		line.Set(Fault{Extra: 400 * ms})
		write(t, near, "slow ")
		line.Set(Fault{})
		write(t, near, "quick") // but not before what went ahead of it
		expect(t, far, "slow quick", 250*ms)
		write(t, near, "again")
		expect(t, far, "again", 50*ms)
	})
}

func TestCloseDeliversWhatWasWritten(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Line, near *Conn, far net.Conn) {
		write(t, near, "bye")
		near.Close()
		if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close = %v", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close = %v", err)
		}
		expect(t, far, "bye", 50*ms)
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read at the other end = %v", err)
		}
	})
}

func TestEndOfPeerArrivesHalfARoundTripLater(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Line, near *Conn, far net.Conn) {
		far.Close()
		start := time.Now()
		if _, err := near.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != 50*ms {
			t.Errorf("Read = %v after %v", err, time.Since(start))
		}
	})
}

func TestDeadlineInterruptsReadThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Line, near *Conn, far net.Conn) {
		time.AfterFunc(20*ms, func() { near.SetReadDeadline(time.Now()) })
		start := time.Now()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 20*ms {
			t.Errorf("Read = %v after %v", err, time.Since(start))
		}
	})
}

func TestWindowBoundsMemory(t *testing.T) {
	for name, chunk := range map[string]int{"large writes": 1 << 20, "tiny writes": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, line *Line, near *Conn, far net.Conn) {
				line.Set(Fault{Cut: true})
				near.SetWriteDeadline(time.Now().Add(time.Second))
				var err error
				for b := make([]byte, chunk); err == nil; {
					_, err = near.Write(b)
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Write = %v", err)
				}
				if near.out.size > window {
					t.Errorf("%d bytes are held", near.out.size)
				}
			})
		})
	}
}

// A stream of random writes arrives byte for byte, however the jitter falls.
func TestJitterNeverReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pair(t, NewLine(100*ms, 300*ms))
		rnd := rand.New(rand.NewPCG(1, 2))
		sent := make([]byte, 1<<20)
		for i := range sent {
			sent[i] = byte(rnd.Uint32())
		}
		go func() {
			for b := sent; len(b) > 0; {
				n := min(len(b), 1+rnd.IntN(4096))
				near.Write(b[:n])
				b = b[n:]
				time.Sleep(time.Duration(rnd.IntN(int(5 * ms))))
			}
			near.Close()
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes arrived of %d, %v", len(got), len(sent), err)
		}
	})
}

func TestJitterMeetsBothPercentiles(t *testing.T) {
	line := NewLine(100*ms, 140*ms)
	const n = 1_000_000 // the probabilities are eight deviations from what fails
	atMedian, below90 := 0, 0
	for range n {
		rtt := 2*line.oneWay() + line.jitter() + line.jitter()
		if rtt == 100*ms {
			atMedian++
		}
		if rtt <= 140*ms {
			below90++
		}
	}
	if atMedian < n/2 || below90 < 89*n/100 || below90 > 91*n/100 {
		t.Errorf("of %d: %d at the median, %d within p90", n, atMedian, below90)
	}
}

func TestDialTakesARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(Timers{})
		defer g.Close()
		line := NewLine(100*ms, 100*ms)
		refuse := errors.New("refused")
		start := time.Now()
		_, err := g.Dial(t.Context(), line, func(context.Context) (net.Conn, error) { return nil, refuse })
		if err != refuse || time.Since(start) != 100*ms {
			t.Errorf("Dial = %v after %v", err, time.Since(start))
		}
		line.Set(Fault{Cut: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Dial(ctx, line, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial across a cut = %v", err)
		}
	})
}

func TestGroupLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T, line *Line, near *Conn, far net.Conn) {
		line.Set(Fault{Cut: true})
		write(t, near, "never heard")
		near.Close()
		near.Abort()
		if len(line.queues) != 0 {
			t.Errorf("%d queues are left", len(line.queues))
		}
	})
}
