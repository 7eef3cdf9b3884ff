package framing

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A plain connection is as one of TLS, but for TLS.
type plain struct{ net.Conn }

func (plain) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, NegotiatedProtocol: "h2"}
}

// inDisguise is what net/http takes one of HTTP/2 in.
type inDisguise struct {
	net.Conn
	conn net.Conn
}

func (d inDisguise) UnencryptedNetConn() net.Conn { return d.conn }

type nobody struct{ net.Listener }

func (nobody) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (nobody) Close() error              { return nil }

// A restaurant is a server whose guests may rest, and one guest.
type restaurant struct {
	t      *testing.T
	guest  *H2
	rested chan *H2
	srv    *http.Server
	spent  bool // the guest's window was made up for
	lives  sync.WaitGroup

	there  net.Conn      // what the client has
	fr     *http2.Framer // of the client
	pack   *hpack.Encoder
	block  bytes.Buffer
	unpack *hpack.Decoder
	stream uint32

	mu       sync.Mutex // guards what follows
	statuses map[uint32]string
	bodies   map[uint32]*strings.Builder
	others   []string // frames that are no HEADERS, DATA or SETTINGS
	got      int      // bytes of DATA
	granted  int      // to the connection
	acks     int
	last     http2.ErrCode
}

// ServeHTTP tells what was asked, and so many bytes more as the path says.
func (s *restaurant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n, ours := s.guest.Spends(); ours {
		s.spent = true
		w.Write(make([]byte, n))
		return
	}
	s.guest.Enter()
	defer s.guest.Leave()
	n := 0
	fmt.Sscanf(r.URL.Path, "/%d", &n)
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Said", r.Header.Get("X-Said"))
	fmt.Fprintf(w, "%s %d %s", r.Header.Get("X-Said"), len(body), strings.Repeat(".", n))
}

func (s *restaurant) serve() {
	life := s.guest.Begin()
	s.lives.Go(func() {
		s.srv.TLSNextProto["unencrypted_http2"](s.srv, tls.Client(inDisguise{conn: life}, nil), s)
	})
}

// open begins a restaurant; its client has said its settings.
func open(t *testing.T, settings ...http2.Setting) *restaurant {
	here, there := net.Pipe()
	s := &restaurant{t: t, rested: make(chan *H2, 1), statuses: map[uint32]string{}, bodies: map[uint32]*strings.Builder{}, stream: 1}
	s.srv = &http.Server{ErrorLog: log.New(io.Discard, "", 0), HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: 1 << 18}, ConnState: func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateIdle:
			c.(*life).Rests()
		case http.StateActive:
			c.(*life).Works()
		}
	}}
	s.srv.Serve(nobody{})
	s.guest = NewH2(plain{here}, Config{Header: 16 << 10, ParkAfter: 2 * time.Second, Idle: time.Hour, Rest: func(c *H2, _ time.Time) { s.rested <- c }})
	s.serve()
	s.there, s.fr = there, http2.NewFramer(there, there)
	s.pack = hpack.NewEncoder(&s.block)
	s.unpack = hpack.NewDecoder(4096, nil)
	go s.listen()
	io.WriteString(there, http2.ClientPreface)
	s.fr.WriteSettings(settings...)
	synctest.Wait()
	s.fr.WriteSettingsAck()
	t.Cleanup(func() { there.Close(); s.lives.Wait() })
	return s
}

// listen takes what the server says.
func (s *restaurant) listen() {
	for {
		f, err := s.fr.ReadFrame()
		if err != nil {
			return
		}
		s.mu.Lock()
		id := f.Header().StreamID
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				s.acks++
			}
		case *http2.HeadersFrame:
			fields, err := s.unpack.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				s.others = append(s.others, "undecodable: "+err.Error())
			}
			for _, x := range fields {
				if x.Name == ":status" || x.Name == "x-said" {
					s.statuses[id] += x.Value + " "
				}
			}
		case *http2.DataFrame:
			if s.bodies[id] == nil {
				s.bodies[id] = &strings.Builder{}
			}
			s.got += len(f.Data())
			s.bodies[id].Write(f.Data())
		case *http2.WindowUpdateFrame:
			if id == 0 {
				s.granted += int(f.Increment)
			}
		case *http2.GoAwayFrame:
			s.others = append(s.others, fmt.Sprintf("GOAWAY %d %v", f.LastStreamID, f.ErrCode))
		case *http2.PingFrame:
			s.others = append(s.others, fmt.Sprintf("PING %q", f.Data[:]))
		default:
			s.others = append(s.others, fmt.Sprint(f.Header().Type))
		}
		s.mu.Unlock()
	}
}

// asks sends a request, and returns its stream.
func (s *restaurant) asks(path, said string, body int) uint32 {
	s.block.Reset()
	method := "GET"
	if body > 0 {
		method = "POST"
	}
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a.test"}, {Name: ":path", Value: path}, {Name: "x-said", Value: said}} {
		s.pack.WriteField(f)
	}
	id := s.stream
	s.stream += 2
	s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.block.Bytes(), EndHeaders: true, EndStream: body == 0})
	for ; body > 0; body -= min(body, 16<<10) {
		s.fr.WriteData(id, body <= 16<<10, make([]byte, min(body, 16<<10)))
	}
	return id
}

// answered demands that a stream was answered.
func (s *restaurant) answered(id uint32, said string, sent, more int) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := fmt.Sprintf("%s %d %s", said, sent, strings.Repeat(".", more))
	if b := s.bodies[id]; s.statuses[id] != "200 "+said+" " || b == nil || b.String() != want {
		s.t.Fatalf("stream %d: %q %v; want %d bytes; others %q", id, s.statuses[id], b, len(want), s.others)
	}
}

// rests waits until the guest rests, and wakes lets it come back.
func (s *restaurant) rests() {
	s.t.Helper()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	select {
	case <-s.rested:
	default:
		s.t.Fatal("it does not rest")
	}
}

func (s *restaurant) wakes() {
	s.guest.Resume()
	s.serve()
}

func (s *restaurant) said() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.others, ", ")
}

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
