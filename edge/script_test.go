package edge

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A script is the connection of a client that has said all it will.
type script struct {
	net.Conn // nil
	done     chan struct{}

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	text    string
	said    []byte
	patient bool // who reads after the end waits: it only looks whether the client is there
	past    bool // the deadline
	closed  bool
	told    func(*script) // is called after each write, with mu held
}

func newScript(text string) *script {
	s := &script{text: text, done: make(chan struct{})}
	s.changed.L = &s.mu
	return s
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.past:
			return 0, os.ErrDeadlineExceeded
		case s.text != "":
			n := copy(p, s.text)
			s.text = s.text[n:]
			return n, nil
		case !s.patient:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	s.said = append(s.said, p...)
	if s.told != nil {
		s.told(s)
	}
	return len(p), nil
}

func (s *script) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.changed.Broadcast()
}

func (s *script) Close() error {
	s.set(func() {
		if !s.closed {
			close(s.done)
		}
		s.closed = true
	})
	return nil
}

func (s *script) SetReadDeadline(t time.Time) error {
	s.set(func() { s.past = !t.IsZero() && t.Before(time.Now()) })
	return nil
}

func (s *script) SetDeadline(t time.Time) error        { return s.SetReadDeadline(t) }
func (s *script) SetWriteDeadline(time.Time) error     { return nil }
func (s *script) ConnectionState() tls.ConnectionState { return tls.ConnectionState{} }
func (s *script) RemoteAddr() net.Addr                 { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *script) LocalAddr() net.Addr                  { return s.RemoteAddr() }

// A looked connection tells the reads by which net/http looks whether the client
// is still there, which are of one byte, from those of a request.
type looked struct {
	net.Conn
	s *script
}

func (l looked) Read(p []byte) (int, error) {
	if len(p) == 1 {
		l.s.set(func() { l.s.patient = true })
		defer l.s.set(func() { l.s.patient = false })
	}
	return l.Conn.Read(p)
}
