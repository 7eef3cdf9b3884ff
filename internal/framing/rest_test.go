package framing

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestARestIsNotSeen: who asks after a rest is answered as if there had been none,
// in both directions' headers, with windows that last.
func TestARestIsNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		for i := range 12 {
			said := fmt.Sprintf("word %d", i/3) // in the tables, most times
			size := 0
			if i%2 == 1 {
				size = 50_000 // 300,000 in all, of 262,144
			}
			id := s.asks("/0", said, size)
			s.answered(id, said, size, 0)
			s.rests()
			s.wakes()
		}
		if s.acks != 1 || s.said() != "" {
			t.Errorf("the client also heard %q, and %d times that its settings count", s.said(), s.acks)
		}
		if have := initialWindow + s.granted - 300_000; have != 1<<18 {
			t.Errorf("the client may send %d bytes more, want %d", have, 1<<18)
		}
	})
}

// Controls: what is not told to the new server is missed.
func TestARestIsSeen(t *testing.T) {
	for name, forget := range map[string]func(s *said){
		"its table":          func(s *said) { s.table = nil },
		"its highest stream": func(s *said) { s.last = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				s.fr.WriteWindowUpdate(0, 1<<16)
				s.answered(s.asks("/0", "word", 0), "word", 0, 0)
				s.rests()
				forget(&s.guest.said)
				s.wakes()
				s.fr.WriteWindowUpdate(1, 10) // late, and of no use
				id := s.asks("/0", "word", 0)
				synctest.Wait()
				s.mu.Lock()
				defer s.mu.Unlock()
				if b := s.bodies[id]; b != nil && strings.HasPrefix(b.String(), "word") {
					t.Error("it was answered: the test shows nothing")
				}
			})
		})
	}
}

// TestAWindowOutlivesARest: a client that gives no room gets no more than it had left,
// however often it rests; once it does, it gets the rest.
func TestAWindowOutlivesARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		s.answered(s.asks("/30000", "a", 0), "a", 0, 30_000)
		s.rests()
		s.wakes()
		s.answered(s.asks("/30000", "a", 0), "a", 0, 30_000)
		s.rests()
		s.wakes()
		id := s.asks("/30000", "a", 0)
		synctest.Wait()
		if s.got != initialWindow || !s.spent {
			t.Errorf("the client got %d bytes, and had room for %d", s.got, initialWindow)
		}
		s.fr.WriteWindowUpdate(0, 1<<20)
		s.answered(id, "a", 0, 30_000)
		s.rests()
		s.wakes()
		s.spent = false
		s.answered(s.asks("/60000", "a", 0), "a", 0, 60_000) // there is room for that
		if s.spent || s.said() != "" {
			t.Errorf("what was left was made less, or the client heard %q", s.said())
		}
	})
}

// TestWhatWakesMayBeNoRequest: frames of a stream that has ended, a PING, settings.
func TestWhatWakesMayBeNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100_000}, http2.Setting{ID: 0xabcd, Val: 7})
		s.answered(s.asks("/0", "a", 0), "a", 0, 0)
		for _, wake := range []func(){
			func() { s.fr.WriteWindowUpdate(1, 1) },
			func() { s.fr.WriteRSTStream(1, http2.ErrCodeCancel) },
			func() { s.fr.WritePriority(3, http2.PriorityParam{StreamDep: 1}) },
			func() { s.fr.WritePing(false, [8]byte{'h', 'e', 'l', 'l', 'o'}) },
			func() { s.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 1000}) },
		} {
			s.rests()
			until := s.guest.rest.until
			s.wakes()
			wake()
			synctest.Wait()
			if now := s.guest.rest.until; !now.Equal(until) {
				t.Errorf("it may be idle until %v, and not %v", now, until)
			}
		}
		if want := `PING "hello\x00\x00\x00"`; s.said() != want || s.acks != 2 {
			t.Errorf("the client heard %q and %d acknowledgements, want %q and 2", s.said(), s.acks, want)
		}
		s.rests()
		s.wakes()
		s.answered(s.asks("/0", "b", 0), "b", 0, 0)
	})
}

// TestWhoDoesNotRest: a connection on which something is open is left to net/http,
// and one that ends ends.
func TestWhoDoesNotRest(t *testing.T) {
	for name, do := range map[string]func(s *restaurant){
		"half a frame": func(s *restaurant) { s.there.Write([]byte{0, 0, 8, byte(http2.FramePing)}) },
		"a stream": func(s *restaurant) {
			s.block.Reset()
			s.pack.WriteField(hpack.HeaderField{Name: ":method", Value: "POST"})
			s.pack.WriteField(hpack.HeaderField{Name: ":scheme", Value: "https"})
			s.pack.WriteField(hpack.HeaderField{Name: ":path", Value: "/"})
			s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.stream, BlockFragment: s.block.Bytes(), EndHeaders: true})
		},
		"GOAWAY": func(s *restaurant) { s.fr.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"the end": func(s *restaurant) {
			s.fr.WritePing(true, [8]byte{})
			s.guest.Secure.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				s.answered(s.asks("/0", "a", 0), "a", 0, 0)
				do(s)
				time.Sleep(time.Minute)
				select {
				case <-s.rested:
					t.Error("it rests")
				default:
				}
			})
		})
	}
}

// TestTheTimeOfARestEnds: the client hears which of its requests were the last.
func TestTheTimeOfARestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		s.answered(s.asks("/0", "a", 0), "a", 0, 0)
		s.answered(s.asks("/0", "a", 0), "a", 0, 0)
		s.rests()
		s.guest.Bye()
		if want := "GOAWAY 3 NO_ERROR"; s.said() != want {
			t.Errorf("the client heard %q, want %q", s.said(), want)
		}
	})
}

func TestIntegersOfHPACK(t *testing.T) {
	for _, n := range []uint64{0, 1, 30, 31, 32, 126, 127, 128, 1337, 4096, 1 << 20} {
		for _, bits := range []int{5, 7} {
			p := appendVarint(nil, 0, bits, n)
			if got, rest, ok := varint(append(p, 'x'), bits); got != n || !ok || string(rest) != "x" {
				t.Errorf("%d in %d bits: %x is %d, %q, %v", n, bits, p, got, rest, ok)
			}
			if len(p) == 1 {
				continue
			}
			if _, _, ok := varint(p[:len(p)-1:len(p)-1], bits); ok {
				t.Errorf("%d in %d bits: a part of %x is whole", n, bits, p)
			}
		}
	}
}
