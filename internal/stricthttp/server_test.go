package stricthttp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// begin serves h in memory, and returns what dials and what stops it.
func begin(t *testing.T, h http.HandlerFunc, cuts *[]string) (dial func() net.Conn, stop func() error) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	conf := &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	certificate.Close()
	s := &Server{
		HTTP: func() *http.Server { return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second} },
		TLS:  conf, Handshake: 7 * time.Second, Header: 1 << 10, Slow: 5 * time.Second, Drain: 20 * time.Second,
		Tell: func(_ net.Addr, cause, _ string) { *cuts = append(*cuts, cause) },
	}
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	return func() net.Conn {
		client, server := net.Pipe()
		l.conns <- server
		return client
	}, func() error { cancel(); return <-done }
}

// Control: who says something in time is served.
func TestAHandshakeAndAHeadHaveTheirTime(t *testing.T) {
	for _, tt := range []struct {
		after, head time.Duration // until the handshake, and until the head
		lives       time.Duration // 0: until it is answered
		cut         string
	}{
		{after: 0}, {after: 6 * time.Second}, {head: 9 * time.Second},
		{after: time.Hour, lives: 7 * time.Second, cut: CutHandshake},
		{head: time.Hour, lives: 10 * time.Second, cut: "slow"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var cuts []string
			dial, stop := begin(t, func(w http.ResponseWriter, r *http.Request) {
				if r.TLS == nil {
					t.Error("a request that came without TLS")
				}
			}, &cuts)
			began := time.Now()
			raw := dial()
			defer raw.Close()
			c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
			go func() {
				if time.Sleep(tt.after); c.Handshake() != nil {
					return
				}
				io.WriteString(c, "GET / HTTP/1.1\r\n")
				time.Sleep(tt.head)
				io.WriteString(c, "Host: a\r\nConnection: close\r\n\r\n")
			}()
			var text []byte
			if tt.cut == CutHandshake {
				raw.Read(make([]byte, 1))
			} else {
				synctest.Wait()
				time.Sleep(tt.after + 1)
				text, _ = io.ReadAll(c)
			}
			switch lived := time.Since(began).Truncate(time.Second); {
			case tt.lives == 0 && len(text) == 0:
				t.Errorf("%+v: not answered", tt)
			case tt.lives > 0 && lived != tt.lives:
				t.Errorf("%+v: it lived for %v: %q", tt, lived, text)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if (tt.cut == "") != (len(cuts) == 0) || tt.cut != "" && cuts[0] != tt.cut {
				t.Errorf("%+v: told of %q", tt, cuts)
			}
			time.Sleep(2 * time.Hour) // the client that was cut
		})
	}
}

// A starved listener lacks files so many times.
type starved struct {
	*pipes
	lacks int
}

func (s *starved) Accept() (net.Conn, error) {
	if s.lacks == 0 {
		return s.pipes.Accept()
	}
	s.lacks--
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
}

// TestAListenerThatLacksFilesIsAskedAgain: and a server that stops does not wait for
// files.
func TestAListenerThatLacksFilesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{HTTP: func() *http.Server { return &http.Server{} }, TLS: &tls.Config{}, Handshake: time.Second, Drain: time.Second, Tell: func(net.Addr, string, string) {}}
		serve := func(lacks int) (l *starved, stop func() error) {
			l = &starved{&pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, lacks}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx, l) }()
			return l, func() error { cancel(); return <-done }
		}
		began := time.Now()
		l, stop := serve(3)
		client, server := net.Pipe()
		l.conns <- server // is accepted
		if waited := time.Since(began); waited != 3*lull {
			t.Errorf("it was accepted after %v, want %v", waited, 3*lull)
		}
		client.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
		_, stop = serve(1 << 30)
		began = time.Now()
		time.Sleep(lull + lull/2)
		if err := stop(); err != nil || time.Since(began) != lull+lull/2 {
			t.Errorf("it stopped after %v: %v", time.Since(began), err)
		}
	})
}
