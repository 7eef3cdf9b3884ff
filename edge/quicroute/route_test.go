package quicroute

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

func TestWhoseADatagramIs(t *testing.T) {
	old := Epoch{1, 2, 3, 4}
	for _, x := range []struct {
		name, datagram string
		theirs         bool
	}{
		{"a short header of the old process", "40 01020304 0000000000000000 ffff", true},
		{"a long header of the old process", "e0 00000001 0c 01020304 0000000000000000 00", true},
		{"a short header of another", "40 01020305 0000000000000000 ffff", false},
		{"a client's own choice, of 8 bytes", "c0 00000001 08 01020304 00000000 00 00000000", false},
		{"too short", "40 01020304 00", false},
		{"cut in the ID", "e0 00000001 0c 01020304", false},
		{"a length, and no more", "e0 00000001 0c", false},
		{"nothing", "", false},
	} {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(x.datagram), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		if got := theirs(b, []Epoch{{9}, old}); got != x.theirs {
			t.Errorf("%s: theirs %v, want %v", x.name, got, x.theirs)
		}
	}
	id, _ := old.GenerateConnectionID()
	if !theirs(append([]byte{0x40}, id.Bytes()...), []Epoch{old}) || id.Len() != old.ConnectionIDLen() {
		t.Errorf("an ID of the old process, %v, is not known", id)
	}
}

func FuzzWhoseADatagramIs(f *testing.F) {
	f.Add([]byte{0x40, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xe0, 0, 0, 0, 1, 12, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if theirs(b, []Epoch{{1, 2, 3, 4}}) && !bytes.Contains(b, []byte{1, 2, 3, 4}) {
			t.Errorf("%x is not of the epoch", b)
		}
		from := netip.MustParseAddrPort("[2001:db8::1%eth0]:443")
		m := ipv4.Message{Buffers: [][]byte{make([]byte, 1452)}, OOB: make([]byte, 0, 128)}
		decode(b, &m) // whatever it is
		if len(b) <= 1452 {
			if !decode(encode(from, []byte("oob"), b), &m) || !bytes.Equal(m.Buffers[0][:m.N], b) || m.Addr.String() != from.String() {
				t.Errorf("%x came as %x from %v", b, m.Buffers[0][:m.N], m.Addr)
			}
		}
	})
}

func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// again returns the same socket as another process has it.
func again(t *testing.T, c *net.UDPConn) *net.UDPConn {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := net.FilePacketConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p.(*net.UDPConn)
}

// reads gives what a socket reads to a channel, until it is closed.
func reads(s *Socket) <-chan string {
	out := make(chan string, 100)
	go func() {
		defer close(out)
		for {
			ms := make([]ipv4.Message, 8)
			for i := range ms {
				ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1500)}, OOB: make([]byte, 128)}
			}
			n, err := s.ReadBatch(ms, 0)
			if err != nil {
				return
			}
			for _, m := range ms[:n] {
				out <- string(m.Buffers[0][:m.N])
			}
		}
	}()
	return out
}

func packet(s *Socket, text string) string {
	id, _ := s.mine.GenerateConnectionID()
	return "\x40" + string(id.Bytes()) + text
}

// TestEachProcessGetsItsPackets has three processes after one another, and the
// packets of all come to the newest one's socket. Control: TestWithoutARouteThePacketsAreTheWrongOnes.
func TestEachProcessGetsItsPackets(t *testing.T) {
	conn := listen(t)
	client, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	want := func(from <-chan string, text string) {
		t.Helper()
		select {
		case got := <-from:
			if got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %q", text)
		}
	}
	send := func(text string) {
		t.Helper()
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	chain := []*Socket{New(conn)}
	from := []<-chan string{reads(chain[0])}
	for i := range 3 {
		send("a stranger's")
		want(from[i], "a stranger's")
		f, text, err := chain[i].Pass()
		if err != nil {
			t.Fatal(err)
		}
		next, err := Follow(context.Background(), again(t, conn), f, text)
		if err != nil {
			t.Fatal(err)
		}
		if next.Keys() != chain[i].Keys() {
			t.Error("the next process has other keys")
		}
		chain, from = append(chain, next), append(from, reads(next))
		for j, s := range chain {
			for range 3 {
				p := packet(s, "one")
				send(p)
				want(from[j], p)
			}
		}
	}
	chain[3].Close() // it was not ready: the one before reads the socket again
	send("after the end")
	want(from[2], "after the end")
	p := packet(chain[0], "still")
	send(p)
	want(from[0], p)
	chain[0].Close() // it has drained
	harmless := packet(chain[0], "late")
	send(harmless)
	want(from[1], harmless) // which may reset it
	chain[2].Close()
	send("after another end")
	want(from[1], "after another end")
}

// TestAMiddleProcessEndsBeforeAnOlderOne: what the newest has for the oldest goes
// through it until that has ended, too, and the oldest does not read the socket
// beside the newest.
func TestAMiddleProcessEndsBeforeAnOlderOne(t *testing.T) {
	conn := listen(t)
	client, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	chain := []*Socket{New(conn)}
	from := []<-chan string{reads(chain[0])}
	for i := range 2 {
		f, text, err := chain[i].Pass()
		if err != nil {
			t.Fatal(err)
		}
		next, err := Follow(context.Background(), again(t, conn), f, text)
		if err != nil {
			t.Fatal(err)
		}
		chain, from = append(chain, next), append(from, reads(next))
		p := packet(next, "one")
		client.Write([]byte(p))
		if got := <-from[i+1]; got != p {
			t.Fatalf("got %q, want %q", got, p)
		}
	}
	chain[1].SetReadDeadline(time.Unix(1, 0)) // as quic-go ends its reading
	for range from[1] {
	}
	ended := make(chan struct{})
	go func() { defer close(ended); chain[1].Close() }()
	for range 2000 {
		for _, to := range []int{0, 2} {
			p := packet(chain[to], "after")
			client.Write([]byte(p))
			select {
			case got := <-from[to]:
				if got != p {
					t.Fatalf("process %d got %q, want %q", to, got, p)
				}
			case got := <-from[2-to]:
				t.Fatalf("process %d got %q of process %d", 2-to, got, to)
			}
		}
	}
	select {
	case <-ended:
		t.Error("the middle process ended before the one before it")
	default:
	}
	chain[0].Close()
	<-ended
	p := packet(chain[2], "last")
	client.Write([]byte(p))
	if got := <-from[2]; got != p {
		t.Errorf("got %q, want %q", got, p)
	}
}

// TestWithoutARouteThePacketsAreTheWrongOnes has two processes read one socket.
func TestWithoutARouteThePacketsAreTheWrongOnes(t *testing.T) {
	conn := listen(t)
	client, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	old, other := New(conn), New(again(t, conn))
	reads(old)
	got := reads(other)
	for range 10_000 {
		p := packet(old, "mine")
		if _, err := client.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
			return // it took what is the other's
		default:
		}
	}
	t.Error("each packet came to its own process")
}
