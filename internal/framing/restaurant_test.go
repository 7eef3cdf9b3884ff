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
